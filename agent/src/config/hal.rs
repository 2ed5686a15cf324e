//! The section `[hal]`: which backend serves which capability.

mod exec;
mod linux;

use std::path::{Path, PathBuf};

use serde::Deserialize;
use terminal_hal::{api::Capability, linux::LinuxConfig};

use super::{
    Problems,
    updates::{self, RawUpdates, UpdatesConfig},
};
pub use exec::ExecHalConfig;

/// Longest path of a Unix socket that Linux can name.
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Where each capability comes from.
#[derive(Clone, Debug)]
pub struct HalConfig {
    /// Payment application.
    pub payments: Option<Source>,
    /// Screen.
    pub screen: Option<Source>,
    /// Log sources.
    pub logs: Option<Source>,
    /// Software updates.
    pub firmware: Option<Source>,
    /// Restart and boot identity.
    pub power: Option<Source>,
    /// State of the terminal: what the first does not know, the next is asked for.
    pub health: Vec<Source>,
    /// The simulated terminal.
    pub mock: MockHalConfig,
    /// The payment application; there whenever a source names it.
    pub vendor: Option<VendorHalConfig>,
    /// Programs.
    pub exec: ExecHalConfig,
    /// The system that the agent runs on.
    pub linux: LinuxConfig,
    /// Updates of the whole system; there whenever a source names a way to keep them.
    pub updates: Option<UpdatesConfig>,
}

/// A backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A simulated terminal.
    Mock,
    /// The payment application behind a socket.
    Vendor,
    /// The same, if it says that it can do it.
    VendorIfOffered,
    /// A program.
    Exec,
    /// The system that the agent runs on.
    Linux,
    /// Updates into one of two folders.
    Ab,
    /// Updates through RAUC.
    Rauc,
}

/// A simulated terminal.
#[derive(Clone, Debug)]
pub struct MockHalConfig {
    /// Where it keeps its memory.
    pub state_file: Option<PathBuf>,
    /// What it is told to do.
    pub script_file: Option<PathBuf>,
    /// Another seed is another shop.
    pub seed: u64,
}

/// A payment application behind a socket.
#[derive(Clone, Debug)]
pub struct VendorHalConfig {
    /// The socket that it listens on.
    pub socket: PathBuf,
    /// Users that it may run as.
    pub allowed_uids: Vec<u32>,
}

impl HalConfig {
    /// Whether any capability comes from one of these.
    pub fn uses(&self, is: impl Fn(Source) -> bool) -> bool {
        let Self { payments, screen, logs, firmware, power, .. } = self;
        let single = [payments, screen, logs, firmware, power].into_iter().flatten();
        single.chain(&self.health).any(|source| is(*source))
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct RawHal {
    backend: Option<String>,
    payments: Option<String>,
    screen: Option<String>,
    logs: Option<String>,
    firmware: Option<String>,
    power: Option<String>,
    health: Option<Vec<String>>,
    #[serde(default)]
    mock: RawMock,
    vendor: Option<RawVendor>,
    #[serde(default)]
    exec: exec::RawExec,
    #[serde(default)]
    linux: linux::RawLinux,
    updates: Option<RawUpdates>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawVendor {
    socket: PathBuf,
    allowed_uids: Option<Vec<u32>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct RawMock {
    state_file: Option<PathBuf>,
    script_file: Option<PathBuf>,
    seed: u64,
}

impl Default for RawMock {
    fn default() -> Self {
        Self { state_file: None, script_file: None, seed: 1 }
    }
}

/// What may be written for a capability, beside `none`.
const fn choices(capability: Capability) -> &'static [(&'static str, Source)] {
    const MOCK: (&str, Source) = ("mock", Source::Mock);
    const VENDOR: (&str, Source) = ("vendor", Source::Vendor);
    const EXEC: (&str, Source) = ("exec", Source::Exec);
    const LINUX: (&str, Source) = ("linux", Source::Linux);
    const AB: (&str, Source) = ("ab", Source::Ab);
    const RAUC: (&str, Source) = ("rauc", Source::Rauc);
    match capability {
        Capability::Payments => &[MOCK, VENDOR],
        Capability::Screen => &[MOCK, VENDOR, EXEC],
        Capability::Logs | Capability::Power => &[MOCK, VENDOR, LINUX],
        Capability::Firmware => &[MOCK, VENDOR, AB, RAUC],
        Capability::Health => &[MOCK, VENDOR, LINUX, EXEC],
    }
}

/// The choices that this program was built with.
fn built_in(capability: Capability) -> impl Iterator<Item = (&'static str, Source)> {
    let is_built_in = |source| source != Source::Mock || cfg!(feature = "mock");
    choices(capability).iter().copied().filter(move |(_, source)| is_built_in(*source))
}

/// A source that cannot be had, with those that can.
fn unknown(name: &str, choices: &[&str]) -> String {
    let why = match name {
        "mock" if cfg!(not(feature = "mock")) => {
            ", a simulated terminal that this build leaves out"
        }
        _ => "",
    };
    format!("got {name:?}{why}, want one of {}", choices.join(", "))
}

/// What `backend` gives to a capability that is not named: nothing, if it does not have it.
fn default_source(backend: &str, capability: Capability) -> Option<Source> {
    let named = built_in(capability).find(|(name, _)| *name == backend)?;
    match named.1 {
        Source::Vendor | Source::VendorIfOffered => Some(Source::VendorIfOffered),
        Source::Mock | Source::Exec | Source::Linux => Some(named.1),
        // A way to keep systems is no terminal.
        Source::Ab | Source::Rauc => None,
    }
}

pub(super) fn checked(
    raw: RawHal,
    store: &Path,
    model: &str,
    problems: &mut Problems<'_>,
) -> HalConfig {
    let backend = raw.backend.as_deref();
    check_backend(backend, problems);
    let mut source = |capability: Capability, named: Option<&str>| match (named, backend) {
        (Some(name), _) => named_source(name, capability, problems),
        (None, Some(backend)) => default_source(backend, capability),
        (None, None) => None,
    };
    let mut config = HalConfig {
        payments: source(Capability::Payments, raw.payments.as_deref()),
        screen: source(Capability::Screen, raw.screen.as_deref()),
        logs: source(Capability::Logs, raw.logs.as_deref()),
        firmware: source(Capability::Firmware, raw.firmware.as_deref()),
        power: source(Capability::Power, raw.power.as_deref()),
        health: match &raw.health {
            Some(names) => {
                names.iter().filter_map(|name| source(Capability::Health, Some(name))).collect()
            }
            None => source(Capability::Health, None).into_iter().collect(),
        },
        mock: MockHalConfig {
            state_file: raw.mock.state_file,
            script_file: raw.mock.script_file,
            seed: raw.mock.seed,
        },
        vendor: None,
        exec: exec::checked(raw.exec, problems),
        linux: linux::checked(raw.linux, store, problems),
        updates: None,
    };
    if !config.uses(|_| true) && problems.is_empty() {
        problems.add("hal.backend", "missing, want a backend, or one for each capability");
    }
    let uses_vendor = config.uses(|s| matches!(s, Source::Vendor | Source::VendorIfOffered));
    config.vendor = vendor(raw.vendor, uses_vendor, problems);
    config.exec.check_use(&config, problems);
    linux::check_use(&config, problems);
    config.updates = updates::checked(raw.updates, config.firmware, model, problems);
    if config.updates.is_some() && config.power.is_none() {
        problems.add("hal.power", "missing, want what tells one boot from the next");
    }
    config
}

fn check_backend(backend: Option<&str>, problems: &mut Problems<'_>) {
    let Some(backend) = backend else { return };
    if Capability::ALL.into_iter().all(|capability| default_source(backend, capability).is_none()) {
        let named = |capability| built_in(capability).map(move |(name, _)| (capability, name));
        let mut names: Vec<_> = Capability::ALL
            .into_iter()
            .flat_map(named)
            .filter(|(capability, name)| default_source(name, *capability).is_some())
            .map(|(_, name)| name)
            .collect();
        names.sort_unstable();
        names.dedup();
        problems.add("hal.backend", &unknown(backend, &names));
    }
}

fn named_source(name: &str, capability: Capability, problems: &mut Problems<'_>) -> Option<Source> {
    if name == "none" {
        return None;
    }
    let found = built_in(capability).find(|(choice, _)| *choice == name);
    if found.is_none() {
        let names: Vec<_> =
            built_in(capability).map(|(choice, _)| choice).chain(["none"]).collect();
        problems.add(&format!("hal.{}", capability.as_str()), &unknown(name, &names));
    }
    found.map(|(_, source)| source)
}

fn vendor(
    raw: Option<RawVendor>,
    is_used: bool,
    problems: &mut Problems<'_>,
) -> Option<VendorHalConfig> {
    let Some(raw) = raw else {
        if is_used {
            problems.add("hal.vendor.socket", "missing, want the path of a Unix socket");
        }
        return None;
    };
    problems.absolute("hal.vendor.socket", &raw.socket);
    let length = raw.socket.as_os_str().len();
    if length > SOCKET_PATH_BYTES_MAX {
        let problem = format!("has {length} bytes, want at most {SOCKET_PATH_BYTES_MAX}");
        problems.add("hal.vendor.socket", &problem);
    }
    let own = || vec![0, nix::unistd::geteuid().as_raw()];
    let allowed_uids = raw.allowed_uids.unwrap_or_else(own);
    if allowed_uids.is_empty() {
        problems.add("hal.vendor.allowed-uids", "empty, want the users it may run as");
    }
    Some(VendorHalConfig { socket: raw.socket, allowed_uids })
}

#[cfg(test)]
#[cfg(feature = "mock")]
mod tests {
    use std::path::Path;

    use super::*;

    fn parse(text: &str) -> Result<HalConfig, String> {
        let mut problems = Problems { path: Path::new("agent.toml"), lines: Vec::new() };
        let raw = toml::from_str(text).unwrap();
        let config = checked(raw, Path::new("/var/lib/agent"), "n92", &mut problems);
        if problems.is_empty() { Ok(config) } else { Err(problems.lines.join("\n")) }
    }

    fn linux(text: &str) -> String {
        format!("power = \"linux\"\n[linux]\n{text}")
    }

    const SOCKET: &str = "[vendor]\nsocket = \"/run/app.sock\"";

    #[test]
    fn a_backend_serves_everything_that_is_not_named() {
        let config = parse("backend = \"mock\"").unwrap();
        assert_eq!((config.payments, config.power), (Some(Source::Mock), Some(Source::Mock)));
        assert_eq!(config.health, [Source::Mock]);
        let text = format!("backend = \"vendor\"\nlogs = \"none\"\npower = \"mock\"\n{SOCKET}");
        let config = parse(&text).unwrap();
        assert_eq!(config.payments, Some(Source::VendorIfOffered));
        assert_eq!((config.logs, config.power), (None, Some(Source::Mock)));
        assert_eq!(config.vendor.unwrap().socket, Path::new("/run/app.sock"));
    }

    #[test]
    fn what_is_named_needs_no_backend_and_is_taken_without_asking() {
        let text = format!("payments = \"vendor\"\nhealth = [\"vendor\", \"mock\"]\n{SOCKET}");
        let config = parse(&text).unwrap();
        assert_eq!((config.payments, config.screen), (Some(Source::Vendor), None));
        assert_eq!(config.health, [Source::Vendor, Source::Mock]);
        assert!(config.vendor.unwrap().allowed_uids.contains(&0));
    }

    #[test]
    fn a_system_needs_nothing_but_the_sources_of_its_logs() {
        let config = parse("power = \"linux\"\nhealth = [\"linux\", \"mock\"]").unwrap();
        assert_eq!((config.power, config.logs), (Some(Source::Linux), None));
        let linux = config.linux;
        assert_eq!(
            (linux.root.as_path(), linux.disk.as_path()),
            (Path::new("/"), Path::new("/var/lib/agent"))
        );
        let text = "logs = \"linux\"\n[linux.journal.components]\nkernel = [\"kernel\"]";
        assert!(!parse(text).unwrap().linux.logs.is_empty());
    }

    #[test]
    fn what_is_wrong_is_named_with_what_would_be_right() {
        for (text, problem) in [
            ("", "hal.backend: missing"),
            ("payments = \"none\"", "hal.backend: missing"),
            (
                "backend = \"magic\"",
                "hal.backend: got \"magic\", want one of exec, linux, mock, vendor",
            ),
            ("screen = \"tv\"", "hal.screen: got \"tv\", want one of mock, vendor, exec, none"),
            ("logs = \"exec\"", "hal.logs: got \"exec\", want one of mock, vendor, linux, none"),
            ("logs = \"linux\"", "hal.linux.journal.components: missing"),
            (&linux("root = \"here\""), "hal.linux.root: got \"here\", want an absolute path"),
            (&linux("disk = \"here\""), "hal.linux.disk: got \"here\""),
            (
                &linux("[linux.interfaces.usb0]\ntype = \"modem\""),
                "hal.linux.interfaces.usb0.type: got \"modem\", want ethernet, wifi or cellular",
            ),
            (
                &linux("[linux.journal.components]\nkernel = []"),
                "hal.linux.journal.components.kernel: empty",
            ),
            (
                &linux("journal = { components = { a = [\"x.service\"], b = [\"x.service\"] } }"),
                "hal.linux.journal.components.b: \"x.service\" is named twice",
            ),
            (
                &linux("[[linux.log-files]]\npath = \"/x\"\ncomponent = \"\"\n"),
                "hal.linux.log-files.component: has 0 characters",
            ),
            (
                &linux("log-files = [{ path = \"/x\", component = \"x\", time-format = \"us\" }]"),
                "hal.linux.log-files.time-format: got \"us\", want rfc3339 or syslog",
            ),
            ("screen = \"exec\"", "hal.exec.screen: missing, want the path of a program"),
            ("health = [\"exec\"]", "hal.exec.health: missing"),
            ("backend = \"mock\"\n[exec]\nscreen = \"menu\"", "hal.exec.screen: got \"menu\""),
            ("health = [\"tv\"]", "hal.health: got \"tv\""),
            ("backend = \"vendor\"", "hal.vendor.socket: missing"),
            ("screen = \"vendor\"", "hal.vendor.socket: missing"),
            ("screen = \"vendor\"\n[vendor]\nsocket = \"a\"", "want an absolute path"),
            (
                &format!("backend = \"vendor\"\n{SOCKET}\nallowed-uids = []"),
                "hal.vendor.allowed-uids: empty",
            ),
            (
                &format!("backend = \"mock\"\n[vendor]\nsocket = \"/{}\"", "x".repeat(107)),
                "at most 107",
            ),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(problem), "{text}: {error}");
        }
    }
}

#[cfg(test)]
#[cfg(not(feature = "mock"))]
mod without_mock {
    use super::*;

    #[test]
    fn a_simulated_terminal_that_was_left_out_is_refused_as_such() {
        for (text, problem) in [
            (
                "backend = \"mock\"",
                "hal.backend: got \"mock\", a simulated terminal that this build",
            ),
            ("backend = \"mock\"", "leaves out, want one of exec, linux, vendor"),
            ("screen = \"mock\"", "this build leaves out, want one of vendor, exec, none"),
            ("screen = \"tv\"", "hal.screen: got \"tv\", want one of vendor, exec, none"),
        ] {
            let mut problems = Problems { path: Path::new("agent.toml"), lines: Vec::new() };
            checked(toml::from_str(text).unwrap(), Path::new("/store"), "n92", &mut problems);
            assert!(problems.lines.join("\n").contains(problem), "{:?}", problems.lines);
        }
    }
}
