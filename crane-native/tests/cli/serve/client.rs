//! A server in a child process, and a client that says what came back.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
#[cfg(target_os = "linux")]
use std::net::SocketAddr;
use std::net::TcpStream;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::fixture;
use crate::support::{Home, Outcome, finish};

/// `crane serve` on a free port; killed when it is dropped.
pub struct Server {
    child: Option<Child>,
    pub address: String,
    _home: Home,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub retry_after: Option<u64>,
    pub json: Value,
}

impl Server {
    /// Serves a checkpoint of the fixtures.
    pub fn fixture(arguments: &[&str]) -> Self {
        Self::of(&fixture::model("qwen2_tied"), arguments)
    }

    /// Serves a model.
    pub fn of(model: &str, arguments: &[&str]) -> Self {
        let home = Home::new();
        let all = [&["serve", model, "--port", "0", "--alias", "m"], arguments].concat();
        Self::spawned(home.crane(all), home)
    }

    /// Serves several models.
    pub fn several(models: &[String], arguments: &[&str]) -> Self {
        let home = Home::new();
        let models: Vec<&str> = models.iter().map(String::as_str).collect();
        let all = [&["serve"], &models[..], &["--port", "0"], arguments].concat();
        Self::spawned(home.crane(all), home)
    }

    /// A server that a command starts.
    pub fn spawned(mut command: Command, home: Home) -> Self {
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        // One line is all that comes.
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if line.is_empty() {
            panic!("the server did not start: {}", finish(child).stderr);
        }
        Server { child: Some(child), address: line.trim().to_owned(), _home: home }
    }

    pub fn agent() -> ureq::Agent {
        ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().new_agent()
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    pub fn get(&self, path: &str) -> Answer {
        Answer::of(Self::agent().get(self.url(path)).call().unwrap())
    }

    pub fn post(&self, path: &str, body: impl ToString) -> Answer {
        let request = Self::agent().post(self.url(path));
        let request = request.header("content-type", "application/json");
        Answer::of(request.send(body.to_string()).unwrap())
    }

    /// As [`Server::post`], with an API key.
    pub fn post_as(&self, key: &str, path: &str, body: impl ToString) -> Answer {
        let request = Self::agent().post(self.url(path));
        let request = request.header("authorization", format!("Bearer {key}"));
        Answer::of(request.send(body.to_string()).unwrap())
    }

    /// The lines of a streamed answer as they come.
    pub fn lines(&self, path: &str, body: &Value) -> impl Iterator<Item = String> + use<> {
        self.lines_as("", path, body)
    }

    /// As [`Server::lines`], with an API key.
    pub fn lines_as(
        &self,
        key: &str,
        path: &str,
        body: &Value,
    ) -> impl Iterator<Item = String> + use<> {
        let request = Self::agent().post(self.url(path));
        let request = request.header("authorization", format!("Bearer {key}"));
        let response = request.send(body.to_string()).unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let reader = BufReader::new(response.into_body().into_reader());
        reader.lines().map(|line| line.unwrap()).filter(|line| !line.is_empty())
    }

    /// The chunks of a streamed answer, which must end as it should.
    pub fn chunks(&self, path: &str, body: &Value) -> Vec<Value> {
        let mut lines: Vec<String> = self.lines(path, body).collect();
        assert_eq!(lines.pop().as_deref(), Some("data: [DONE]"), "{lines:?}");
        let json = |line: String| serde_json::from_str(line.strip_prefix("data: ").unwrap());
        lines.into_iter().map(|line| json(line).unwrap()).collect()
    }

    /// Waits until `/health` says that so many replies are under way.
    pub fn wait_for_running(&self, count: u64) {
        let start = Instant::now();
        while self.get("/health").json["running"] != count {
            assert!(start.elapsed() < Duration::from_secs(60), "{:?}", self.get("/health"));
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The memory that it holds, in bytes.
    pub fn resident(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most memory that it has held, in bytes.
    pub fn peak(&self) -> u64 {
        self.status("VmHWM:")
    }

    fn status(&self, field: &str) -> u64 {
        let id = self.child.as_ref().unwrap().id();
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// A connection, on which nothing is said yet.
    pub fn connect(&self) -> Connection {
        let stream = TcpStream::connect(self.host()).unwrap();
        Connection::over(stream)
    }

    /// A connection that comes from another address of this machine, and whose system takes in but little before it
    /// is read.
    #[cfg(target_os = "linux")]
    pub fn connect_from(&self, address: &str) -> Connection {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let socket = socket.unwrap();
        socket.set_recv_buffer_size(2048).unwrap();
        socket.bind(&SocketAddr::new(address.parse().unwrap(), 0).into()).unwrap();
        socket.connect(&self.host().parse::<SocketAddr>().unwrap().into()).unwrap();
        Connection::over(socket.into())
    }

    /// Host and port.
    pub fn host(&self) -> &str {
        self.address.strip_prefix("http://").unwrap()
    }

    /// The processor's time that it has used, in steps of 10 ms.
    pub fn processor_time(&self) -> Duration {
        let id = self.child.as_ref().unwrap().id();
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
        // Behind the name, which may hold anything: the 12th and 13th field.
        let fields = stat.rsplit(')').next().unwrap().split_whitespace().skip(11).take(2);
        Duration::from_millis(10 * fields.map(|ticks| ticks.parse::<u64>().unwrap()).sum::<u64>())
    }

    /// Asks the server to end, as an operator does.
    pub fn terminate(&self) {
        let id = self.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    }

    /// Waits for its end.
    pub fn ended(mut self) -> Outcome {
        finish(self.child.take().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
            let mut said = String::new();
            child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            assert!(!said.contains("panicked") || std::thread::panicking(), "{said}");
        }
    }
}

/// A connection whose bytes a test writes itself.
pub struct Connection {
    stream: TcpStream,
}

impl Connection {
    fn over(stream: TcpStream) -> Self {
        // Longer than any limit of time that a test sets.
        stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        Connection { stream }
    }

    /// Writes these bytes; the server may have had enough.
    pub fn say(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// A request with these lines of the head, which names its host unless they do.
    pub fn ask(&mut self, line: &str, headers: &[&str], body: &str) -> bool {
        let mut head = format!("{line} HTTP/1.1\r\n");
        if !headers.iter().any(|header| header.to_lowercase().starts_with("host:")) {
            head += &format!("host: {}\r\n", self.stream.peer_addr().unwrap());
        }
        headers.iter().for_each(|header| head += &format!("{header}\r\n"));
        if !body.is_empty() {
            head += &format!("content-length: {}\r\n", body.len());
        }
        self.say(format!("{head}\r\n{body}"))
    }

    /// Everything up to the end of the connection.
    pub fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        if let Err(error) = self.stream.read_to_end(&mut bytes) {
            let is_cut = matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe);
            assert!(is_cut, "the server did not end the connection: {error}");
        }
        // A character may be cut, too.
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Everything up to the end of a streamed answer.
    pub fn rest_of_stream(&mut self) -> String {
        let (mut bytes, mut piece) = (Vec::new(), vec![0; 1 << 16]);
        while !bytes.ends_with(b"\r\n0\r\n\r\n") {
            let count = self.stream.read(&mut piece).unwrap();
            assert!(count > 0, "the stream is cut: {}", String::from_utf8_lossy(&bytes));
            bytes.extend_from_slice(&piece[..count]);
        }
        String::from_utf8(bytes).unwrap()
    }

    /// The next answer, whose length its head tells: the status, the head and the body.
    pub fn answer(&mut self) -> (u16, String, String) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        self.stream.read_exact(&mut body).unwrap();
        (status, head, String::from_utf8(body).unwrap())
    }

    /// Whether the server has ended the connection.
    pub fn is_over(&self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let read = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).unwrap();
        !matches!(read, Ok(1..)) && !read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }
}

impl Answer {
    pub fn of(mut response: ureq::http::Response<ureq::Body>) -> Self {
        let status = response.status().as_u16();
        let header = response.headers().get("retry-after");
        let retry_after = header.map(|value| value.to_str().unwrap().parse().unwrap());
        let body = response.body_mut().with_config().limit(1 << 30);
        let text = body.read_to_string().unwrap();
        let json = serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}"));
        Answer { status, retry_after, json }
    }

    #[track_caller]
    pub fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{}", self.json);
        self.json
    }

    /// Demands a refusal in OpenAI's shape.
    #[track_caller]
    pub fn refused(self, status: u16, param: Option<&str>, code: Option<&str>) -> String {
        let error = &self.json["error"];
        assert_eq!(self.status, status, "{}", self.json);
        assert_eq!((error["param"].as_str(), error["code"].as_str()), (param, code), "{error}");
        assert!(error["type"].is_string() && error.as_object().unwrap().len() == 4, "{error}");
        error["message"].as_str().unwrap().to_owned()
    }
}
