//! One HTTP request over a connection of its own, as probes and the command line send them.

use std::error::Error;
use std::pin::pin;

use bytes::Bytes;
use futures_util::future::{Either, select};
use http::{Request, Response};
use hyper::{
    body::{Body, Incoming},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Sends a request and has `read` take what it needs of the answer; then the connection is closed. Who answers before the
/// request is sent to its end, and closes, is heard too.
///
/// # Errors
/// The other side does not speak HTTP/1, or breaks off before the answer's head.
pub(crate) async fn exchange<B, T>(
    stream: TcpStream,
    request: Request<B>,
    read: impl AsyncFnOnce(Response<Incoming>) -> T,
) -> hyper::Result<T>
where
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let answer = pin!(async move { Ok(read(sender.send_request(request).await?).await) });
    match select(answer, connection).await {
        Either::Left((answer, _)) => answer,
        // Its failure is the answer's if it came too early.
        Either::Right((_, answer)) => answer.await,
    }
}
