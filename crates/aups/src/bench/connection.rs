//! One HTTP/1.1 connection that stays open: a request goes out as it was composed, an answer comes back as little read as is correct.
//! It shares the machine with what it measures, so it has to be cheap.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};

/// Most headers of an answer.
const HEADERS_MAX: usize = 32;
/// Longest answer, headers included, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// A connection; of no further use after an error.
pub(super) struct Connection {
    stream: TcpStream,
    /// What came and is not yet taken.
    received: Vec<u8>,
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

/// Where an answer's parts are.
struct Head {
    status: u16,
    /// Bytes before the body.
    bytes: usize,
    body_bytes: usize,
}

impl Connection {
    /// Connects.
    pub(super) async fn open(address: SocketAddr) -> io::Result<Self> {
        Self::over(TcpStream::connect(address).await?)
    }

    /// Connects from an address of this machine.
    pub(super) async fn open_from(from: IpAddr, to: SocketAddr) -> io::Result<Self> {
        let socket = if from.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.bind((from, 0).into())?;
        Self::over(socket.connect(to).await?)
    }

    fn over(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::with_capacity(4 << 10) })
    }

    /// Sends a request and waits for the answer to it.
    pub(super) async fn exchange(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.stream.write_all(request).await?;
        loop {
            if let Some(head) = head(&self.received)? {
                return self.answer(&head).await;
            }
            self.receive().await?;
        }
    }

    async fn answer(&mut self, head: &Head) -> io::Result<Answer> {
        let ends = head.bytes + head.body_bytes;
        while self.received.len() < ends {
            self.receive().await?;
        }
        let body = self.received.get(head.bytes..ends).unwrap_or_default().to_vec();
        self.received.drain(..ends);
        Ok(Answer { status: head.status, body })
    }

    async fn receive(&mut self) -> io::Result<()> {
        if self.received.len() > ANSWER_BYTES_MAX {
            return Err(io::Error::other("an answer has no end"));
        }
        match self.stream.read_buf(&mut self.received).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// The head of an answer, once all of it is there.
fn head(received: &[u8]) -> io::Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut answer = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(bytes) = answer.parse(received).map_err(io::Error::other)? else {
        return Ok(None);
    };
    let length = answer.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|header| str::from_utf8(header.value).ok()?.parse().ok());
    let body_bytes = length.ok_or_else(|| io::Error::other("an answer without Content-Length is not read here"))?;
    Ok(Some(Head { status: answer.code.unwrap_or_default(), bytes, body_bytes }))
}
