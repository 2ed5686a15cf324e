//! A headless Chromium, driven over its debugging protocol. For tests: whatever goes wrong is a panic.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Message, protocol::WebSocketConfig},
};

/// What a page does must be seen within this.
pub const SOON: Duration = Duration::from_secs(30);

/// Ends with the test.
pub struct Browser {
    child: Child,
    socket: WebSocketStream<TcpStream>,
    session: Option<String>,
    calls: u64,
    /// Exceptions that no script caught, and what the policy forbade.
    pub complaints: Vec<Value>,
    _profile: tempfile::TempDir,
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Browser {
    /// A page at `url`; `None`, with a message, on a machine without Chromium.
    pub async fn open(url: &str) -> Option<Self> {
        let profile = tempfile::tempdir().unwrap();
        let Some(mut child) = start(&profile) else {
            let required = std::env::var_os("BROWSER_REQUIRED").is_some();
            assert!(!required, "chromium is missing");
            eprintln!("skipped: this test needs chromium");
            return None;
        };
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let address = stderr
            .lines()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("DevTools listening on ws://").map(str::to_owned));
        let address = address.expect("the browser says where it listens");
        let (host, _) = address.split_once('/').unwrap();
        let tcp = TcpStream::connect(host).await.unwrap();
        let config = WebSocketConfig::default();
        let (socket, _) =
            client_async_with_config(format!("ws://{address}"), tcp, Some(config)).await.unwrap();
        let mut browser = Self {
            child,
            socket,
            session: None,
            calls: 0,
            complaints: Vec::new(),
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" })).await;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", attach).await;
        browser.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        browser.call("Runtime.enable", json!({})).await;
        browser.call("Log.enable", json!({})).await;
        browser.call("Page.navigate", json!({ "url": url })).await;
        browser.until("document.readyState === 'complete'").await;
        Some(browser)
    }

    /// Calls a method of the debugging protocol and gives its result.
    pub async fn call(&mut self, method: &str, params: Value) -> Value {
        self.calls += 1;
        let mut call = json!({ "id": self.calls, "method": method, "params": params });
        if let Some(session) = &self.session {
            call["sessionId"] = json!(session);
        }
        self.socket.send(Message::text(call.to_string())).await.unwrap();
        loop {
            let message = tokio::time::timeout(SOON, self.socket.next()).await.expect("an answer");
            let Message::Text(text) = message.unwrap().unwrap() else { continue };
            let answer: Value = serde_json::from_str(&text).unwrap();
            if answer["id"] == self.calls {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].clone();
            }
            let is_complaint = answer["method"] == "Runtime.exceptionThrown"
                || answer["params"]["entry"]["level"] == "error";
            if is_complaint {
                self.complaints.push(answer);
            }
        }
    }

    /// The value of an expression.
    pub async fn eval(&mut self, expression: &str) -> Value {
        let call = json!({ "expression": expression, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", call).await;
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    pub async fn until(&mut self, expression: &str) {
        let deadline = tokio::time::Instant::now() + SOON;
        while self.eval(expression).await != true {
            assert!(tokio::time::Instant::now() < deadline, "never: {expression}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Types a text into a field of a form and submits the form.
    pub async fn submit(&mut self, form: &str, field: &str, text: &str) {
        let script = format!(
            "document.querySelector('#{form} [name={field}]').value = {};
             document.getElementById('{form}').requestSubmit(); true",
            json!(text)
        );
        self.eval(&script).await;
    }

    /// Waits until the element of that id has a text in it.
    pub async fn until_says(&mut self, id: &str, text: &str) {
        let says = format!("document.getElementById('{id}').textContent.includes({})", json!(text));
        self.until(&says).await;
    }

    /// Presses the button of that name in the row of buttons, by keyboard.
    pub async fn press(&mut self, name: &str) {
        let focus = format!(
            "[...document.querySelectorAll('#buttons button')]
                .find((it) => it.textContent === {}).focus(); true",
            json!(name)
        );
        self.eval(&focus).await;
        self.enter().await;
    }

    /// Presses the Enter key.
    pub async fn enter(&mut self) {
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({
                "type": kind, "key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13,
            });
            if kind == "keyDown" {
                event["text"] = json!("\r");
            }
            self.call("Input.dispatchKeyEvent", event).await;
        }
    }
}

fn start(profile: &tempfile::TempDir) -> Option<Child> {
    ["chromium", "chromium-browser", "google-chrome"].into_iter().find_map(|program| {
        Command::new(program)
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"])
            .args(["--disable-dev-shm-usage", "--remote-debugging-port=0", "--disable-quic"])
            .args(["--disable-background-networking", "--disable-component-update"])
            // The simulated cloud has a throw-away authority.
            .args(["--disable-sync", "--ignore-certificate-errors"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .ok()
    })
}
