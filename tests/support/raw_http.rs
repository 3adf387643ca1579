//! An HTTP request written to a socket, and its answer read off it, so that a test sees how it ended.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::DEADLINE;

/// Sends a request, and leaves its answer unread.
pub fn send(address: SocketAddr, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout can be set");
    let mut head = format!("{method} {target} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    if !headers.iter().any(|(name, _)| *name == "Host") {
        head.push_str("Host: localhost\r\n");
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).expect("the head is taken");
    // a server that refuses early may not read all of it
    let _refused_early = stream.write_all(body);
    stream
}

/// An HTTP answer, its chunks put together.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The body ended as it should: all of its length, or the last chunk.
    pub complete: bool,
}

impl Answer {
    pub fn read(stream: &mut TcpStream) -> std::io::Result<Self> {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let mut headers = Vec::new();
        loop {
            line.clear();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let mut answer = Self { status, headers, body: Vec::new(), complete: false };
        if answer.header("transfer-encoding") == "chunked" {
            answer.complete = answer.read_chunks(&mut reader).is_ok();
        } else {
            reader.read_to_end(&mut answer.body)?;
            answer.complete = answer.header("content-length") == answer.body.len().to_string();
        }
        Ok(answer)
    }

    fn read_chunks(&mut self, reader: &mut impl BufRead) -> std::io::Result<()> {
        loop {
            let mut size = String::new();
            reader.read_line(&mut size)?;
            let size = usize::from_str_radix(size.trim(), 16).map_err(std::io::Error::other)?;
            let mut chunk = vec![0; size];
            reader.read_exact(&mut chunk)?;
            self.body.extend_from_slice(&chunk);
            reader.read_exact(&mut [0; 2])?;
            if size == 0 {
                return Ok(());
            }
        }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _value)| known == name).map_or("", |(_name, value)| value)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
