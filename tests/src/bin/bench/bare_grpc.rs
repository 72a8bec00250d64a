//! What a gRPC server costs that does nothing: tonic with the answer of the measured server, on the port that belongs to the
//! one of HTTP.

use std::{
    convert::Infallible,
    fs,
    future::{Ready, ready},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{Router, routing::any};
use bytes::{Buf, Bytes};
use nacrite_tests::way::{Protocol, Way};
use nacrite_wire::{Payload, PayloadCodec};
use tonic::{
    Request, Response, Status,
    body::Body,
    server::{Grpc, NamedService, UnaryService},
    transport::Server,
};
use tower_service::Service;

use crate::Failure;

/// Serves what `file` holds as the answer to every unary call; over HTTP it only says that it is there.
pub(crate) fn serve(file: &Path, port: u16) -> Result<(), Failure> {
    let answer = Answer(fs::read(file)?.into());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async move {
        let http = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let grpc = SocketAddr::new(http.ip(), port + Way::ABOVE);
        let serving = tokio::spawn(Server::builder().add_service(answer).serve(grpc));
        // Nobody is told that it is there before it is.
        while tokio::net::TcpStream::connect(grpc).await.is_err() {
            if serving.is_finished() {
                serving.await??;
                return Err("the bare server does not listen".into());
            }
            tokio::task::yield_now().await;
        }
        let listener = tokio::net::TcpListener::bind(http).await?;
        let here = Router::new().fallback(any(|| ready("")));
        Ok(axum::serve(listener, here).await?)
    })
}

/// The file that [`serve`] reads, from the answer of the server at this address to a request.
pub(crate) async fn answer(http: SocketAddr, request: &[u8]) -> Result<Vec<u8>, Failure> {
    let Way::Grpc(client) = Way::open(Protocol::Grpc, http).await? else {
        return Err("no gRPC".into());
    };
    let mut answer = client.call(Bytes::copy_from_slice(request)).await?;
    // The head of the message is written again.
    answer.advance(answer.len().min(5));
    Ok(answer.to_vec())
}

#[derive(Clone)]
struct Answer(Bytes);

impl NamedService for Answer {
    const NAME: &'static str = "Request";
}

impl UnaryService<Payload> for Answer {
    type Response = Bytes;
    type Future = Ready<Result<Response<Bytes>, Status>>;

    fn call(&mut self, _: Request<Payload>) -> Self::Future {
        ready(Ok(Response::new(self.0.clone())))
    }
}

impl Service<http::Request<Body>> for Answer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let answer = self.clone();
        Box::pin(async move { Ok(Grpc::new(PayloadCodec).unary(answer, request).await) })
    }
}
