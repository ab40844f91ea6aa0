//! A wire between the console and Postgres that the test can cut, freeze, or make behave like a pooler.

use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the wire does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Open,
    /// Takes bytes and passes none on.
    Frozen,
    /// Breaks before a statement with this word in it is passed on.
    CutBefore(&'static str),
    /// Breaks after such a statement was passed on: what became of it is not told.
    CutAfter(&'static str),
    /// Keeps back a statement with this word in it until the manner changes.
    HoldAt(&'static str),
}

pub struct Proxy {
    port: u16,
    manner: Arc<watch::Sender<Manner>>,
}

impl Proxy {
    /// Listens in front of `target` (`host:port`). `pooler`: refuses settings in the startup packet, as poolers do.
    pub async fn start(target: String, pooler: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let manner = Arc::new(watch::channel(Manner::Open).0);
        let watching = Arc::clone(&manner);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, target.clone(), pooler, watching.subscribe()));
            }
        });
        Self { port, manner }
    }

    pub fn set(&self, manner: Manner) {
        self.manner.send_replace(manner);
    }

    /// The URL with this wire in its way.
    pub fn url(&self, url: &str) -> String {
        let (head, tail) = url.rsplit_once('@').unwrap();
        let name = tail.rsplit_once('/').unwrap().1;
        format!("{head}@127.0.0.1:{}/{name}", self.port)
    }
}

/// `host:port` of a database URL.
pub fn place(url: &str) -> String {
    url.rsplit_once('@').unwrap().1.rsplit_once('/').unwrap().0.to_string()
}

async fn serve(mut client: TcpStream, target: String, pooler: bool, manner: watch::Receiver<Manner>) -> std::io::Result<()> {
    let mut startup = Vec::new();
    if pooler {
        loop {
            let length = client.read_i32().await?;
            let mut rest = vec![0; usize::try_from(length - 4).unwrap()];
            client.read_exact(&mut rest).await?;
            // An SSLRequest is declined; what follows is the startup packet.
            if rest == 80_877_103_i32.to_be_bytes() {
                client.write_all(b"N").await?;
                continue;
            }
            if rest.windows(8).any(|w| w == b"options\0") {
                let fields = b"SFATAL\0VFATAL\0C08P01\0Munsupported startup parameter: options\0\0";
                client.write_u8(b'E').await?;
                client.write_i32(i32::try_from(fields.len() + 4).unwrap()).await?;
                client.write_all(fields).await?;
                return Ok(());
            }
            startup.extend_from_slice(&length.to_be_bytes());
            startup.extend_from_slice(&rest);
            break;
        }
    }
    let mut server = TcpStream::connect(target).await?;
    server.write_all(&startup).await?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let there = pass(from_client, to_server, manner.clone());
    let back = pass(from_server, to_client, manner);
    tokio::select! { r = there => r, r = back => r }
}

async fn pass(
    mut from: impl tokio::io::AsyncRead + Unpin,
    mut to: impl tokio::io::AsyncWrite + Unpin,
    mut manner: watch::Receiver<Manner>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let n = from.read(&mut buffer).await?;
        if n == 0 {
            return Ok(());
        }
        // While frozen, what has been taken stays here.
        let now = *manner.wait_for(|m| *m != Manner::Frozen).await.unwrap();
        let holds = |word: &str| buffer[..n].windows(word.len()).any(|w| w == word.as_bytes());
        match now {
            Manner::CutBefore(word) if holds(word) => return Ok(()),
            Manner::CutAfter(word) if holds(word) => {
                to.write_all(&buffer[..n]).await?;
                return Ok(());
            }
            Manner::HoldAt(word) if holds(word) => {
                manner.wait_for(|m| *m != now).await.unwrap();
                to.write_all(&buffer[..n]).await?;
            }
            _ => to.write_all(&buffer[..n]).await?,
        }
    }
}
