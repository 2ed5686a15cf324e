//! Command line: `serve`, `token create`, `terminal create`, `pki create`.

use std::{
    ffi::OsString, fs, io::Write as _, net::SocketAddr, path::PathBuf, process::ExitCode,
    time::Duration,
};

use lexopt::{Arg, Parser, ValueExt as _};
use terminal_cloud::{
    Cloud, CloudConfig, NewToken, Pki, Registry, SCOPES, TlsConfig, Transport, is_account_id,
};

const USAGE: &str = "\
terminal-cloud serve --data DIR (--tls-cert FILE --tls-key FILE | --plain-http)
    [--listen ADDR]          127.0.0.1:8443
    [--client-ca FILE]       verify terminal certificates against these roots
    [--trust-bundle FILE]    authorities that enrolled terminals trust, --client-ca
    [--heartbeat-s N]        5 to 3600, 30
    [--timeout-s N]          longest window before an operation is a TIMEOUT
    [--public-url URL]       origin of upload URLs
    [--test-switches]        POST /test/faults
terminal-cloud token create --data DIR --account ID --scope SCOPE... [--subject NAME]
terminal-cloud terminal create --data DIR --account ID --serial NUMBER [--store ID]
terminal-cloud pki create --out DIR [--name DNS-OR-IP...] [--terminal ID...]
";

/// Exit codes: 0 ok, 64 usage, 70 failed.
pub(crate) fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut parser = Parser::from_iter(arguments);
    match command(&mut parser) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(problem)) => {
            say_error(&format!("{problem}\n\n{USAGE}"));
            ExitCode::from(64)
        }
        Err(Failure::Run(problem)) => {
            say_error(&problem);
            ExitCode::from(70)
        }
    }
}

enum Failure {
    Usage(String),
    Run(String),
}

impl From<lexopt::Error> for Failure {
    fn from(error: lexopt::Error) -> Self {
        Self::Usage(error.to_string())
    }
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::Run(error.to_string())
}

fn say(text: &str) {
    // A closed pipe is no reason to stop serving.
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

fn say_error(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "terminal-cloud: {text}");
}

fn command(parser: &mut Parser) -> Result<(), Failure> {
    match (word(parser)?.as_deref(), parser) {
        (Some("serve"), parser) => serve(parser),
        (Some(noun @ ("token" | "terminal" | "pki")), parser) => {
            let noun = noun.to_owned();
            match (noun.as_str(), word(parser)?.as_deref()) {
                ("token", Some("create")) => create_token(parser),
                ("terminal", Some("create")) => create_terminal(parser),
                ("pki", Some("create")) => create_pki(parser),
                _ => Err(Failure::Usage(format!("{noun}: want create"))),
            }
        }
        (Some("help"), _) => {
            say(USAGE);
            Ok(())
        }
        _ => Err(Failure::Usage("want serve, token, terminal or pki".to_owned())),
    }
}

fn word(parser: &mut Parser) -> Result<Option<String>, Failure> {
    Ok(match parser.next()? {
        Some(Arg::Value(word)) => Some(word.string()?),
        Some(Arg::Long("help") | Arg::Short('h')) => Some("help".to_owned()),
        Some(other) => return Err(other.unexpected().into()),
        None => None,
    })
}

fn required<T>(name: &str, value: Option<T>) -> Result<T, Failure> {
    value.ok_or_else(|| Failure::Usage(format!("{name} is missing")))
}

fn serve(parser: &mut Parser) -> Result<(), Failure> {
    let (mut data, mut cert, mut key, mut client_ca) = (None, None, None, None);
    let mut config = CloudConfig::new(PathBuf::new(), Transport::PlainHttp);
    config.listen = SocketAddr::from(([127, 0, 0, 1], 8443));
    let mut plain = false;
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("data") => data = Some(PathBuf::from(parser.value()?)),
            Arg::Long("listen") => config.listen = parser.value()?.parse()?,
            Arg::Long("tls-cert") => cert = Some(PathBuf::from(parser.value()?)),
            Arg::Long("tls-key") => key = Some(PathBuf::from(parser.value()?)),
            Arg::Long("client-ca") => client_ca = Some(PathBuf::from(parser.value()?)),
            Arg::Long("trust-bundle") => {
                let path = PathBuf::from(parser.value()?);
                let bundle = fs::read_to_string(&path)
                    .map_err(|error| Failure::Run(format!("{}: {error}", path.display())))?;
                config.trust_bundle_pem = Some(bundle);
            }
            Arg::Long("plain-http") => plain = true,
            Arg::Long("test-switches") => config.test_switches = true,
            Arg::Long("heartbeat-s") => config.heartbeat_s = parser.value()?.parse()?,
            Arg::Long("timeout-s") => {
                config.timeout_max = Some(Duration::from_secs(parser.value()?.parse()?));
            }
            Arg::Long("public-url") => config.public_url = Some(parser.value()?.string()?),
            other @ (Arg::Long(_) | Arg::Short(_) | Arg::Value(_)) => {
                return Err(other.unexpected().into());
            }
        }
    }
    config.data_dir = required("--data", data)?;
    if !(5..=3600).contains(&config.heartbeat_s) {
        let got = config.heartbeat_s;
        return Err(Failure::Usage(format!("--heartbeat-s: got {got}, want 5 to 3600")));
    }
    if !plain {
        let read = |path: PathBuf| {
            fs::read(&path).map_err(|error| Failure::Run(format!("{}: {error}", path.display())))
        };
        config.transport = Transport::Tls(TlsConfig {
            cert_chain_pem: read(required("--tls-cert (or --plain-http)", cert)?)?,
            key_pem: read(required("--tls-key", key)?)?,
            client_ca_pem: client_ca.map(read).transpose()?,
        });
    }
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    runtime.block_on(async {
        let cloud = Cloud::start(config).await.map_err(failed)?;
        say(&format!("listening on {} at {}", cloud.base_url(), cloud.addr()));
        stop_signal().await.map_err(failed)?;
        cloud.stop().await;
        Ok(())
    })
}

async fn stop_signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

fn create_token(parser: &mut Parser) -> Result<(), Failure> {
    let (mut data, mut account, mut scopes) = (None, None, Vec::new());
    let mut subject = "operator".to_owned();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("data") => data = Some(PathBuf::from(parser.value()?)),
            Arg::Long("account") => account = Some(parser.value()?.string()?),
            Arg::Long("scope") => scopes.push(parser.value()?.string()?),
            Arg::Long("subject") => subject = parser.value()?.string()?,
            other @ (Arg::Long(_) | Arg::Short(_) | Arg::Value(_)) => {
                return Err(other.unexpected().into());
            }
        }
    }
    if let Some(unknown) = scopes.iter().find(|scope| !SCOPES.contains(&scope.as_str())) {
        let wanted = SCOPES.join(", ");
        return Err(Failure::Usage(format!("--scope: got {unknown}, want {wanted}")));
    }
    if scopes.is_empty() {
        return Err(Failure::Usage("--scope is missing".to_owned()));
    }
    let account_id = account_id(account)?;
    let registry = Registry::open(&required("--data", data)?).map_err(failed)?;
    let token = registry.create_token(&NewToken { account_id, subject, scopes }).map_err(failed)?;
    say(&token);
    Ok(())
}

fn account_id(given: Option<String>) -> Result<String, Failure> {
    let id = required("--account", given)?;
    if is_account_id(&id) {
        return Ok(id);
    }
    Err(Failure::Usage(format!("--account: got {id}, want P or T and 8 digits")))
}

fn create_terminal(parser: &mut Parser) -> Result<(), Failure> {
    let (mut data, mut account, mut serial) = (None, None, None);
    let mut store = "S1".to_owned();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("data") => data = Some(PathBuf::from(parser.value()?)),
            Arg::Long("account") => account = Some(parser.value()?.string()?),
            Arg::Long("serial") => serial = Some(parser.value()?.string()?),
            Arg::Long("store") => store = parser.value()?.string()?,
            other @ (Arg::Long(_) | Arg::Short(_) | Arg::Value(_)) => {
                return Err(other.unexpected().into());
            }
        }
    }
    let account = account_id(account)?;
    let serial = required("--serial", serial)?;
    let registry = Registry::open(&required("--data", data)?).map_err(failed)?;
    let terminal = registry
        .create_terminal(&account, &serial, &store, "command line")
        .map_err(failed)?
        .map_err(failed)?;
    say(&format!("{} {}", terminal.terminal_id, terminal.token));
    Ok(())
}

fn create_pki(parser: &mut Parser) -> Result<(), Failure> {
    let (mut out, mut names, mut terminals) = (None, Vec::new(), Vec::new());
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("out") => out = Some(PathBuf::from(parser.value()?)),
            Arg::Long("name") => names.push(parser.value()?.string()?),
            Arg::Long("terminal") => terminals.push(parser.value()?.string()?),
            other @ (Arg::Long(_) | Arg::Short(_) | Arg::Value(_)) => {
                return Err(other.unexpected().into());
            }
        }
    }
    let out = required("--out", out)?;
    if names.is_empty() {
        names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    }
    let names = names.iter().map(String::as_str).collect::<Vec<_>>();
    fs::create_dir_all(&out).map_err(failed)?;
    let pki = Pki::create().map_err(failed)?;
    fs::write(out.join("ca.pem"), pki.ca_pem()).map_err(failed)?;
    let write = |name: &str, (cert, key): (String, String)| {
        fs::write(out.join(format!("{name}.pem")), cert)?;
        fs::write(out.join(format!("{name}.key")), key)
    };
    write("server", pki.server(&names).map_err(failed)?).map_err(failed)?;
    for terminal in &terminals {
        write(terminal, pki.client(terminal).map_err(failed)?).map_err(failed)?;
    }
    say(&out.display().to_string());
    Ok(())
}
