//! The first words of a connection: who we are, which protocol and which database.

use ::redis::{
    Cmd, ErrorKind, ProtocolVersion, RedisConnectionInfo, RedisError, RedisResult, ServerError,
    ServerErrorKind, Value, cmd, pipe,
};

use super::Connection;

/// What a connection calls itself, unless the connection info has a name.
const LIB_NAME: &str = env!("CARGO_PKG_NAME");
const LIB_VER: &str = env!("CARGO_PKG_VERSION");

/// Says the first words; after a `RESET`, if the connection is not new.
pub(super) fn set_up(connection: &mut Connection, reset: bool) -> RedisResult<()> {
    let info = connection.info().clone();
    match say(connection, &info, reset, info.username())? {
        // A server older than 6.0 knows passwords only.
        Greeting::NoUsername => match say(connection, &info, reset, None)? {
            Greeting::Done => Ok(()),
            Greeting::NoUsername => Err(password_failed("").into()),
        },
        Greeting::Done => Ok(()),
    }
}

#[derive(PartialEq)]
enum Greeting {
    Done,
    /// The server does not know of names of users.
    NoUsername,
}

/// What a command of the greeting is for, and so what its answer means.
#[derive(Clone, Copy)]
enum Step {
    Reset,
    Hello,
    Auth,
    Select,
    /// Whatever the answer is: older servers do not know it.
    Name,
}

fn say(
    connection: &mut Connection,
    info: &RedisConnectionInfo,
    reset: bool,
    username: Option<&str>,
) -> RedisResult<Greeting> {
    let (steps, commands): (Vec<_>, Vec<_>) = greeting(info, reset, username).into_iter().unzip();
    if steps.is_empty() {
        return Ok(Greeting::Done);
    }
    let mut pipeline = pipe();
    for command in commands {
        pipeline.add_command(command);
    }
    let mut answers = Vec::with_capacity(steps.len());
    let packed = pipeline.get_packed_pipeline();
    let result = connection.request_raw(&packed, steps.len(), |answer| answers.push(answer));
    if let Err(error) = result {
        // A server that is full says so, and closes the connection; that is more than the latter.
        return Err(first_error(answers).unwrap_or(error));
    }
    for (step, answer) in steps.into_iter().zip(answers) {
        if step.check(answer)? == Greeting::NoUsername {
            return Ok(Greeting::NoUsername);
        }
    }
    Ok(Greeting::Done)
}

fn first_error(answers: Vec<Value>) -> Option<RedisError> {
    answers.into_iter().find_map(|answer| match answer {
        Value::ServerError(error) => Some(error.into()),
        _ => None,
    })
}

fn greeting(info: &RedisConnectionInfo, reset: bool, username: Option<&str>) -> Vec<(Step, Cmd)> {
    let mut steps = Vec::new();
    if reset {
        steps.push((Step::Reset, cmd("RESET")));
    }
    if info.protocol() != ProtocolVersion::RESP2 {
        steps.push((Step::Hello, hello(info)));
    } else if let Some(password) = info.password() {
        let mut auth = cmd("AUTH");
        auth.arg(username).arg(password);
        steps.push((Step::Auth, auth));
    }
    if info.db() != 0 {
        steps.push((Step::Select, cmd("SELECT").arg(info.db()).clone()));
    }
    if !info.skip_set_lib_name() {
        let (name, version) =
            (info.lib_name().unwrap_or(LIB_NAME), info.lib_ver().unwrap_or(LIB_VER));
        for (what, value) in [("LIB-NAME", name), ("LIB-VER", version)] {
            steps.push((Step::Name, cmd("CLIENT").arg("SETINFO").arg(what).arg(value).clone()));
        }
    }
    steps
}

fn hello(info: &RedisConnectionInfo) -> Cmd {
    let mut hello = cmd("HELLO");
    hello.arg("3");
    if let Some(password) = info.password() {
        hello.arg("AUTH").arg(info.username().unwrap_or("default")).arg(password);
    }
    hello
}

impl Step {
    fn check(self, answer: Value) -> RedisResult<Greeting> {
        match (self, answer) {
            (Self::Name, _) => Ok(Greeting::Done),
            (Self::Reset, Value::SimpleString(text)) if text == "RESET" => Ok(Greeting::Done),
            (Self::Reset, Value::ServerError(error)) => Err(error.into()),
            (Self::Hello, Value::ServerError(error)) => Err(hello_failed(error)),
            (Self::Auth, Value::Okay) => Ok(Greeting::Done),
            (Self::Auth, Value::ServerError(error)) => auth_failed(&error),
            (Self::Select, Value::ServerError(error)) => Err(select_failed(&error)),
            (Self::Hello | Self::Select, _) => Ok(Greeting::Done),
            (Self::Reset | Self::Auth, answer) => Err((
                ErrorKind::UnexpectedReturnType,
                "the server's answer to RESET or AUTH is not the expected one",
                format!("{answer:?}"),
            )
                .into()),
        }
    }
}

fn hello_failed(error: ServerError) -> RedisError {
    if error.details().is_some_and(|text| text.starts_with("unknown command `HELLO`")) {
        let text = "Redis Server doesn't support HELLO command therefore resp3 cannot be used";
        return (ErrorKind::RESP3NotSupported, text).into();
    }
    error.into()
}

fn auth_failed(error: &ServerError) -> RedisResult<Greeting> {
    let details = error.details().unwrap_or_default();
    if details.contains("wrong number of arguments for 'auth' command") {
        return Ok(Greeting::NoUsername);
    }
    Err(password_failed(details).into())
}

fn password_failed(details: &str) -> (ErrorKind, &'static str, String) {
    (ErrorKind::AuthenticationFailed, "Password authentication failed", details.to_owned())
}

fn select_failed(error: &ServerError) -> RedisError {
    let kind = ErrorKind::Server(ServerErrorKind::ResponseError);
    let details = error.details().unwrap_or_default().to_owned();
    (kind, "Redis server refused to switch database", details).into()
}
