//! The configuration of a terminal: the template of its location with the terminal's own settings
//! over it, issued under revisions that only grow.

use rusqlite::{Connection, params};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{DbError, execute, json as document, row, rows};

type Config = Map<String, Value>;

/// What a terminal gets: `overrides` win, field by field; lists are taken whole.
pub(crate) fn effective(template: &Config, overrides: &Config) -> Config {
    let mut merged = template.clone();
    merge(&mut merged, overrides);
    merged
}

/// Puts `changes` over `config`; null takes a field out, so that it is inherited again, and with
/// its last field a group.
pub(crate) fn merge(config: &mut Config, changes: &Config) {
    for (name, change) in changes {
        let before = config.remove(name);
        let after = match (before, change) {
            (_, Value::Null) => continue,
            (before, Value::Object(above)) => {
                let mut group = match before {
                    Some(Value::Object(below)) => below,
                    Some(_) | None => Config::new(),
                };
                merge(&mut group, above);
                if group.is_empty() && !above.is_empty() {
                    continue;
                }
                Value::Object(group)
            }
            (_, plain) => plain.clone(),
        };
        config.insert(name.clone(), after);
    }
}

/// What one terminal has been given.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parts {
    pub(crate) template: Config,
    pub(crate) overrides: Config,
    /// As it was issued last.
    pub(crate) config: Option<Config>,
}

/// Template, overrides and result of a terminal.
pub(crate) fn parts(connection: &Connection, terminal_id: &str) -> Result<Option<Parts>, DbError> {
    row(
        connection,
        "SELECT template, overrides, config FROM fleet WHERE terminal_id = ?1",
        [terminal_id],
        |row| {
            Ok(Parts {
                template: document(row, "template")?.unwrap_or_default(),
                overrides: document(row, "overrides")?.unwrap_or_default(),
                config: document(row, "config")?,
            })
        },
    )
}

/// Stores a terminal's own settings, whole, and issues the result; returns its revision.
pub(crate) fn override_with(
    connection: &Connection,
    terminal_id: &str,
    overrides: &Config,
) -> Result<Option<u64>, DbError> {
    execute(
        connection,
        "UPDATE terminals SET overrides = ?2 WHERE terminal_id = ?1",
        params![terminal_id, serde_json::to_string(overrides)?],
    )?;
    issue(connection, terminal_id)
}

/// Stores the template of a location and issues what changes by it; returns the terminals there.
pub(crate) fn set_template(
    connection: &Connection,
    location: Uuid,
    template: &Config,
) -> Result<Vec<String>, DbError> {
    execute(
        connection,
        "UPDATE locations SET template = ?2 WHERE id = ?1",
        params![location.to_string(), serde_json::to_string(template)?],
    )?;
    let terminals = terminals_at(connection, location)?;
    for terminal_id in &terminals {
        inherit(connection, terminal_id)?;
    }
    Ok(terminals)
}

/// The terminals of a location that are in use, oldest first.
pub(crate) fn terminals_at(
    connection: &Connection,
    location: Uuid,
) -> Result<Vec<String>, DbError> {
    rows(
        connection,
        "SELECT terminal_id FROM terminals WHERE location_id = ?1 AND deleted_at IS NULL
         ORDER BY ordinal",
        [location.to_string()],
        |row| Ok(row.get(0)?),
    )
}

/// Issues a new revision when template and overrides no longer make what was issued last.
pub(crate) fn inherit(connection: &Connection, terminal_id: &str) -> Result<(), DbError> {
    let Some(parts) = parts(connection, terminal_id)? else { return Ok(()) };
    let wanted = effective(&parts.template, &parts.overrides);
    // A terminal that was never configured is not told to have no configuration.
    if parts.config.unwrap_or_default() != wanted {
        issue(connection, terminal_id)?;
    }
    Ok(())
}

/// Issues template and overrides under a revision above all that the terminal has had.
fn issue(connection: &Connection, terminal_id: &str) -> Result<Option<u64>, DbError> {
    let Some(parts) = parts(connection, terminal_id)? else { return Ok(None) };
    let config = effective(&parts.template, &parts.overrides);
    row(
        connection,
        "UPDATE terminals SET config = ?2, config_revision = max(config_revision, config_seen) + 1
         WHERE terminal_id = ?1 RETURNING config_revision",
        params![terminal_id, serde_json::to_string(&config)?],
        |row| Ok(u64::try_from(row.get::<_, i64>(0)?).unwrap_or_default()),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Config {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn overrides_win_field_by_field_and_null_gives_the_inherited_value_back() {
        let template = object(json!({
            "tip": { "mode": "percentage", "suggestions": [10, 15, 20] },
            "display": { "idleMessage": "Welcome" },
        }));
        let mut overrides = object(json!({ "tip": { "suggestions": [5] }, "receipt": {} }));
        let wanted = json!({
            "tip": { "mode": "percentage", "suggestions": [5] },
            "display": { "idleMessage": "Welcome" }, "receipt": {},
        });
        assert_eq!(Value::from(effective(&template, &overrides)), wanted);
        merge(&mut overrides, &object(json!({ "tip": { "suggestions": null }, "receipt": null })));
        assert_eq!(effective(&template, &overrides), template);
        assert_eq!(overrides, object(json!({})), "nothing is its own any more");
        merge(&mut overrides, &object(json!({ "tip": { "suggestions": null } })));
        assert_eq!(effective(&template, &overrides), template, "it had none of its own");
    }
}
