//! HTTP/1.1 as a load generator speaks it: requests are bytes made beforehand, of answers only the end is looked for.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A connection and what was read from it.
pub struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer, taken apart.
pub struct Taken {
    /// Status.
    pub status: u16,
    /// Header lines, as received.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl Wire {
    /// Connects.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(4_096),
        })
    }

    /// Sends a request and waits for the end of its answer; its status.
    pub async fn ask(&mut self, request: &[u8]) -> io::Result<u16> {
        self.send(request).await?;
        self.receive().await
    }

    /// Sends a request.
    pub async fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.stream.write_all(request).await
    }

    /// Waits for the end of an answer; its status.
    pub async fn receive(&mut self) -> io::Result<u16> {
        self.buffer.clear();
        let mut end = None;
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if end.is_none() {
                end = head_end(&self.buffer).map(|head| (head, length(&self.buffer[..head])));
            }
            match end {
                Some((head, Some(length))) if self.buffer.len() >= head + length => break,
                // Without a length an answer is in chunks.
                Some((_, None)) if self.buffer.ends_with(b"0\r\n\r\n") => break,
                _ => {}
            }
        }
        let status = self.buffer.get(9..12).and_then(|s| str::from_utf8(s).ok());
        status
            .and_then(|s| s.parse().ok())
            .ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Asks and takes the answer apart.
    pub async fn take(&mut self, request: &[u8]) -> io::Result<Taken> {
        let status = self.ask(request).await?;
        let head = head_end(&self.buffer).ok_or(io::ErrorKind::InvalidData)?;
        let text = String::from_utf8_lossy(&self.buffer[..head]);
        let headers = text.lines().skip(1).filter_map(|line| {
            let (name, value) = line.split_once(": ")?;
            Some((name.to_ascii_lowercase(), value.to_owned()))
        });
        Ok(Taken {
            status,
            headers: headers.collect(),
            body: self.buffer[head..].to_vec(),
        })
    }
}

impl Taken {
    /// The value of a header, by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| &**value)
    }
}

fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .map(|at| at + 4)
}

fn length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    let at = head
        .windows(NAME.len())
        .position(|w| w.eq_ignore_ascii_case(NAME))?;
    let rest = str::from_utf8(&head[at + NAME.len()..]).ok()?;
    rest.lines().next()?.trim().parse().ok()
}

/// A request without a body.
pub fn request(method: &str, target: &str) -> Vec<u8> {
    format!("{method} /nacos{target} HTTP/1.1\r\nHost: 127.0.0.1:8848\r\nUser-Agent: Nacos-Java-Client:v1.4.8\r\nClient-Version: Nacos-Java-Client:v1.4.8\r\nAccept: */*\r\n{}\r\n", if method == "GET" { "" } else { "Content-Length: 0\r\n" }).into_bytes()
}

/// A request with a form; `more` are further header lines, each with its end.
pub fn form(method: &str, target: &str, more: &str, form: &str) -> Vec<u8> {
    let length = form.len();
    format!("{method} /nacos{target} HTTP/1.1\r\nHost: 127.0.0.1:8848\r\nUser-Agent: Nacos-Java-Client:v1.4.8\r\nContent-Type: application/x-www-form-urlencoded; charset=UTF-8\r\n{more}Content-Length: {length}\r\n\r\n{form}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_where_its_length_says() {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\ndate: x\r\n\r\n";
        assert_eq!(head_end(head), Some(head.len()));
        assert_eq!(length(head), Some(12));
        assert_eq!(length(b"HTTP/1.1 200 OK\r\n\r\n"), None);
        assert_eq!(head_end(b"HTTP/1.1 200 OK\r\n"), None);
    }
}
