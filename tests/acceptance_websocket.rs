//! WebSockets against programs of others: the cases of Autobahn by kosoku, server and client, and a chat
//! of two real browsers.
#![cfg(all(feature = "websocket", feature = "patched"))]

mod upstream;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use evy::http::websocket::{self, CloseCode, WebSocket};
use evy::http::{Request, Server};
use evy::patched::ureq::Agent;
use upstream::example;

/// Those of the protocol itself, of which there are 246, and those with much to carry, 54; the others are
/// about compression.
const CASES: [&str; 4] = ["-i", "[1-7].*", "-i", "9.*"];
const NUMBER_OF_CASES: usize = 246 + 54;

/// How long a program may take for something.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program that is ended, by SIGTERM, with the test.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    fn wait(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < 2 * PATIENCE, "it does not end");
            evy::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            // SAFETY: it only takes numbers, and the process is our child, which nobody has waited for.
            unsafe { libc::kill(self.0.id() as libc::pid_t, libc::SIGTERM) };
            let _ = self.0.wait();
        }
    }
}

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("evy-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A browser's processes write until the last of them has ended, a little after the first.
        let start = Instant::now();
        while self.0.exists() && start.elapsed() < Duration::from_secs(10) {
            let _ = fs::remove_dir_all(&self.0);
            evy::sleep(Duration::from_millis(100));
        }
    }
}

/// kosoku from PyPI, in a folder of cargo's for tests.
fn kosoku() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kosoku-0.1.0");
    let program = folder.join("bin/kosoku");
    if !program.exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder));
        run(Command::new(folder.join("bin/pip")).args(["-q", "install", "kosoku==0.1.0"]));
    }
    program
}

fn run(command: &mut Command) {
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
}

/// Checks what kosoku said at its end.
fn check(kosoku: &mut Running, stdout: &mut impl Read) {
    let mut text = String::new();
    stdout.read_to_string(&mut text).unwrap();
    let status = kosoku.wait();
    println!("{text}");
    assert!(status.success(), "{status}");
    assert!(text.contains(&format!("{NUMBER_OF_CASES} cases passed")), "{text}");
}

fn echo(socket: &WebSocket) -> std::io::Result<()> {
    for message in socket {
        socket.send(message?)?;
    }
    Ok(())
}

/// A server of this process, on an OS thread of its own.
fn start_echo_server() -> SocketAddr {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let listener = evy::listen("127.0.0.1:0").unwrap();
        let serve =
            |request: Request| websocket::accept(request, |socket: WebSocket| echo(&socket));
        let server = Server::new(listener, serve).start().unwrap();
        sender.send(server.local_addr()).unwrap();
        server.wait()
    });
    receiver.recv().unwrap()
}

#[test]
#[ignore = "acceptance: needs kosoku, from PyPI"]
fn fault_43_the_server_passes_the_cases_of_autobahn() {
    let address = start_echo_server();
    let folder = Folder::new("autobahn-server");
    let mut kosoku = Running::start(
        Command::new(kosoku())
            .args(["-m", "fuzzingclient", "-p", "4"])
            .args(CASES)
            .arg("-o")
            .arg(&folder.0)
            .arg(format!("ws://{address}"))
            .stdout(Stdio::piped()),
    );
    let mut stdout = kosoku.0.stdout.take().unwrap();
    check(&mut kosoku, &mut stdout);
}

#[test]
#[ignore = "acceptance: needs kosoku, from PyPI"]
fn fault_43_the_client_passes_the_cases_of_autobahn() {
    let folder = Folder::new("autobahn-client");
    let mut kosoku = Running::start(
        Command::new(kosoku())
            .args(["-m", "fuzzingserver"])
            .args(CASES)
            .arg("-o")
            .arg(&folder.0)
            .arg("127.0.0.1:0")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped()),
    );
    let mut stderr = BufReader::new(kosoku.0.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    let url = line.trim_end().rsplit(' ').next().unwrap().to_owned();
    let ask = |path: &str| websocket::connect(&format!("{url}{path}")).unwrap();

    let count = ask("/getCaseCount").recv().unwrap().unwrap();
    let count: usize = count.as_text().unwrap().parse().unwrap();
    assert_eq!(count, NUMBER_OF_CASES);
    for case in 1..=count {
        let socket = ask(&format!("/runCase?case={case}&agent=evy"));
        // That the server breaks rules is what it is for.
        let _ = echo(&socket);
        let _ = socket.close(CloseCode::NORMAL, "");
    }
    // It goes without a farewell.
    let _ = ask("/updateReports?agent=evy").recv();
    let mut stdout = kosoku.0.stdout.take().unwrap();
    check(&mut kosoku, &mut stdout);
}

/// chromedriver, by which browsers are driven.
struct Driver {
    url: String,
    _process: Running,
}

impl Driver {
    fn start(folder: &Folder) -> Self {
        let mut process = Running::start(
            Command::new("chromedriver")
                .arg("--port=0")
                .env("TMPDIR", &folder.0)
                .env("HOME", &folder.0)
                .stdout(Stdio::piped()),
        );
        let lines = BufReader::new(process.0.stdout.take().unwrap()).lines();
        let mut lines = lines.map(|line| line.expect("text"));
        let port = lines.find_map(|line| {
            Some(line.split_once("successfully on port ")?.1.trim_end_matches('.').to_owned())
        });
        let url = format!("http://127.0.0.1:{}", port.expect("it says where it listens"));
        // It must be able to say more.
        std::thread::spawn(move || lines.count());
        Self { url, _process: process }
    }
}

/// A headless Chromium with a page, driven by the WebDriver protocol.
struct Browser {
    session: String,
    process: u32,
    agent: Agent,
}

impl Browser {
    fn open(driver: &Driver, folder: &Folder, name: &str, page: &str) -> Self {
        let agent: Agent = Agent::config_builder().timeout_global(Some(PATIENCE)).build().into();
        let profile = folder.0.join(name);
        let capabilities = format!(
            r#"{{"capabilities":{{"alwaysMatch":{{"goog:chromeOptions":{{"args":["--headless",
            "--no-sandbox","--disable-dev-shm-usage","--user-data-dir={}"]}}}}}}}}"#,
            profile.display()
        );
        let answer = post(&agent, &format!("{}/session", driver.url), &capabilities);
        let session = format!("{}/session/{}", driver.url, string(&answer, "sessionId"));
        let process = number(&answer, "goog:processID");
        let browser = Self { session, process, agent };
        browser.post("/url", &format!(r#"{{"url":"{page}"}}"#));
        browser
    }

    fn post(&self, command: &str, body: &str) -> String {
        post(&self.agent, &format!("{}{command}", self.session), body)
    }

    /// Types a line into the chat's field, and Enter.
    fn say(&self, line: &str) {
        let body = r##"{"using":"css selector","value":"#line"}"##;
        let field = self.post("/element", body);
        let field = string(&field, "element-6066-11e4-a52e-4f735466cecf");
        self.post(&format!("/element/{field}/value"), &format!(r#"{{"text":"{line}\uE007"}}"#));
    }

    /// What the chat shows, its lines joined.
    fn chat(&self) -> String {
        let script =
            "return [...document.querySelectorAll('#chat div')].map(e => e.innerText).join('|')";
        let answer = self.post("/execute/sync", &format!(r#"{{"script":"{script}","args":[]}}"#));
        // The one character that is escaped, and would end a script in a page.
        string(&answer, "value").replace("\\u003C", "<")
    }

    fn wait_for(&self, chat: &str) {
        let start = Instant::now();
        loop {
            match self.chat() {
                shown if shown == chat => return,
                shown => assert!(start.elapsed() < PATIENCE, "{shown}, not {chat}"),
            }
            evy::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if self.agent.delete(&self.session).call().is_err() {
            // SAFETY: it only takes numbers; the process is the browser that was started for us.
            unsafe { libc::kill(self.process as libc::pid_t, libc::SIGTERM) };
        }
        let start = Instant::now();
        while Path::new(&format!("/proc/{}", self.process)).exists()
            && start.elapsed() < Duration::from_secs(10)
        {
            evy::sleep(Duration::from_millis(20));
        }
    }
}

fn post(agent: &Agent, url: &str, body: &str) -> String {
    let request = agent.post(url).header("Content-Type", "application/json");
    let mut answer = request.send(body).unwrap_or_else(|error| panic!("{url} {body}: {error}"));
    answer.body_mut().read_to_string().unwrap()
}

/// What follows a key of a JSON object. The texts of this test have no quotes.
fn after<'a>(json: &'a str, key: &str) -> &'a str {
    let (_, value) = json.split_once(&format!("\"{key}\":")).unwrap_or_else(|| panic!("{json}"));
    value
}

fn string(json: &str, key: &str) -> String {
    let value = after(json, key).strip_prefix('"').unwrap_or_else(|| panic!("{json}"));
    value.split('"').next().unwrap().to_owned()
}

fn number(json: &str, key: &str) -> u32 {
    let value = after(json, key).split(|other: char| !other.is_ascii_digit()).next().unwrap();
    value.parse().unwrap_or_else(|_| panic!("{json}"))
}

/// The example, and the rest of its URL: `://host:port`.
fn start_chat() -> (Running, String) {
    let mut command = Command::new(example("websocket_chat"));
    let mut server = Running::start(command.arg("127.0.0.1:0").stdout(Stdio::piped()));
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let url = line.split(' ').nth(1).and_then(|url| url.strip_prefix("http"));
    let url = url.unwrap_or_else(|| panic!("{line}")).trim_end_matches('/').to_owned();
    (server, url)
}

#[test]
#[ignore = "acceptance: needs chromium and chromedriver"]
fn two_browsers_chat() {
    let (server, url) = start_chat();
    let folder = Folder::new("browsers");
    let driver = Driver::start(&folder);
    let page = format!("http{url}/");

    let first = Browser::open(&driver, &folder, "first", &page);
    first.wait_for("New participant joined");
    let second = Browser::open(&driver, &folder, "second", &page);
    second.wait_for("New participant joined");
    first.wait_for("New participant joined|New participant joined");
    first.say("hello from the first");
    second.wait_for("New participant joined|hello from the first");
    second.say("<b>hello</b> from the second");
    let said = "New participant joined|hello from the first|<b>hello</b> from the second";
    second.wait_for(said);
    first.wait_for(&format!("New participant joined|{said}"));

    // One that is no browser hears and is heard, too.
    let third = websocket::connect(&format!("ws{url}/chat")).unwrap();
    third.send("hello from the third").unwrap();
    assert_eq!(third.recv().unwrap(), Some("hello from the third".into()));
    second.wait_for(&format!("{said}|hello from the third"));
    drop(first);
    second.say("bye");
    assert_eq!(third.recv().unwrap(), Some("bye".into()));
    second.wait_for(&format!("{said}|hello from the third|bye"));
    third.close(CloseCode::NORMAL, "").unwrap();
    drop(server);
    second.wait_for(&format!("{said}|hello from the third|bye|The chat is over (1006)."));
}
