//! A small HTTP/1.1 client over one kept connection: what it sends and reads is in plain sight of the test.
//!
//! Not a client library: no redirects, no chunked answers (the server sends lengths), loopback only.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A connection to a server.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
}

/// Status and body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text; what is no UTF-8 is replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Connection {
    /// Connects to a port of 127.0.0.1; every read and write ends within `patience`.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn open(port: u16, patience: Duration) -> io::Result<Self> {
        let at = SocketAddr::from(([127, 0, 0, 1], port));
        let stream = TcpStream::connect_timeout(&at, patience)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            // An answer is a short head and a body that is read past the buffer: many connections stay small.
            stream: BufReader::with_capacity(512, stream),
        })
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// What the operating system says, or an answer that is none.
    pub fn ask(&mut self, method: &str, target: &str, form: &str) -> io::Result<Answer> {
        self.send(method, target, &[], form)?;
        self.answer()
    }

    /// Sends a request with a form as its body.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn send(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        form: &str,
    ) -> io::Result<()> {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n");
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        if !form.is_empty() {
            head += &format!(
                "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
                form.len()
            );
        }
        head += "\r\n";
        head += form;
        self.stream.get_mut().write_all(head.as_bytes())
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// What the operating system says, or an answer that is none.
    pub fn answer(&mut self) -> io::Result<Answer> {
        let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let status = line
            .split(' ')
            .nth(1)
            .and_then(|s| s.parse().ok())
            .ok_or_else(|| bad(&line))?;
        let mut length = 0;
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().map_err(|_| bad(line))?;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(Answer { status, body })
    }

    /// Whether something to read has arrived (an answer, or the end), without waiting for it.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn has_answer(&self) -> io::Result<bool> {
        if !self.stream.buffer().is_empty() {
            return Ok(true);
        }
        let stream = self.stream.get_ref();
        stream.set_nonblocking(true)?;
        let seen = stream.peek(&mut [0]);
        stream.set_nonblocking(false)?;
        match seen {
            Ok(_) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(e) => Err(e),
        }
    }
}

/// One request over a connection of its own.
///
/// # Errors
/// As [`Connection::ask`].
pub fn ask(port: u16, method: &str, target: &str, form: &str) -> io::Result<Answer> {
    Connection::open(port, Duration::from_secs(30))?.ask(method, target, form)
}

/// Text as a value of a form.
#[must_use]
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
                out.push(char::from(byte));
            }
            _ => out += &format!("%{byte:02X}"),
        }
    }
    out
}
