//! The program: everything that a person types, and a real SIGKILL.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

use crate::bench::{ACCOUNT, dial, epoch, event, hello};

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_terminal-cloud"));
    command.args(arguments);
    command
}

fn output(arguments: &[&str]) -> String {
    let output = program(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Ends with the test, whatever becomes of it.
struct Server(Child, SocketAddr);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(data: &str, pki: &Path) -> Server {
    let file = |name: &str| pki.join(name).to_str().unwrap().to_owned();
    let mut child = program(&["serve", "--data", data, "--listen", "127.0.0.1:0"])
        .args(["--tls-cert", &file("server.pem"), "--tls-key", &file("server.key")])
        .args(["--client-ca", &file("ca.pem"), "--heartbeat-s", "5", "--timeout-s", "600"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("listening on https://localhost:"), "{line}");
    let addr = line.trim().rsplit(' ').next().unwrap().parse().unwrap();
    Server(child, addr)
}

#[tokio::test]
async fn what_was_acked_survives_sigkill() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data").to_str().unwrap().to_owned();
    let pki = dir.path().join("pki");
    output(&["pki", "create", "--out", pki.to_str().unwrap()]);
    let ca = std::fs::read_to_string(pki.join("ca.pem")).unwrap();
    let terminal =
        output(&["terminal", "create", "--data", &data, "--account", ACCOUNT, "--serial", "1"]);
    let (terminal_id, credential) = terminal.split_once(' ').unwrap();
    let bearer = format!("Bearer {credential}");
    let server = serve(&data, &pki);

    // A token that is made beside the running server works at once.
    let token = output(&[
        "token",
        "create",
        "--data",
        &data,
        "--account",
        ACCOUNT,
        "--scope",
        "admin:checkout",
    ]);
    let root = reqwest::Certificate::from_pem(ca.as_bytes()).unwrap();
    let http = reqwest::Client::builder().add_root_certificate(root).build().unwrap();
    let url = |addr: SocketAddr| {
        format!("https://localhost:{}/v1/admin/terminals/operations", addr.port())
    };
    let body = json!({ "terminal_id": terminal_id, "operation": "end_of_day" });
    let created = http.post(url(server.1)).bearer_auth(&token).json(&body).send().await.unwrap();
    assert_eq!(created.status(), 201);
    let created: Value = created.json().await.unwrap();

    let dial_to = |addr| dial(addr, &ca, Some(bearer.as_str()), Some("terminal-ops.v1"), None);
    let mut link = dial_to(server.1).await.unwrap();
    link.send(&hello(terminal_id, epoch(), &[])).await;
    for seq in 1..=20 {
        link.send(&event(epoch(), seq)).await;
    }
    link.acked(20).await;
    drop(server);

    let server = serve(&data, &pki);
    let mut link = dial_to(server.1).await.unwrap();
    link.send(&hello(terminal_id, epoch(), &[])).await;
    assert_eq!(link.frame_of("welcome").await["ack_seq"], 20);
    assert_eq!(link.frame_of("operation").await["id"], created["id"]);
}

#[test]
fn a_command_line_that_makes_no_sense_is_64_and_says_what_is_wanted() {
    for (arguments, wanted) in [
        (vec!["dance"], "want serve"),
        (vec!["serve"], "--data is missing"),
        (vec!["serve", "--data", "/nonexistent"], "--tls-cert"),
        (vec!["serve", "--data", "/nonexistent", "--heartbeat-s", "4"], "5 to 3600"),
        (vec!["token", "create", "--scope", "root"], "admin:checkout"),
        (
            vec!["token", "create", "--scope", "admin:checkout", "--account", "shop"],
            "--account: got shop, want P or T and 8 digits",
        ),
        (
            vec!["terminal", "create", "--serial", "1", "--account", "shop"],
            "--account: got shop, want P or T and 8 digits",
        ),
    ] {
        let output = program(&arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(wanted), "{arguments:?}");
    }
}
