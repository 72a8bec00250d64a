//! What a server costs that does nothing: axum with the answer of the measured server, and a tokio runtime as that
//! one has. Bodies of requests are read.

use std::{fs, net::Ipv4Addr, path::Path};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, HeaderName, HeaderValue, Response},
    routing::any,
    serve::ListenerExt,
};

use crate::Failure;

/// Serves what `file` holds, on every path and with every method.
pub(crate) fn serve(file: &Path, port: u16) -> Result<(), Failure> {
    let (headers, body) = parse(&fs::read(file)?)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let answer = move |_: Bytes| {
            let mut answer = Response::new(Body::from(body.clone()));
            *answer.headers_mut() = headers.clone();
            std::future::ready(answer)
        };
        let router = Router::new().fallback(any(answer));
        // As the measured server does.
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        Ok(axum::serve(listener, router).await?)
    })
}

/// Header lines, an empty line, the body.
fn parse(file: &[u8]) -> Result<(HeaderMap, Bytes), Failure> {
    let end = file
        .windows(2)
        .position(|w| w == b"\n\n")
        .ok_or("no answer in the file")?;
    let mut headers = HeaderMap::new();
    for line in str::from_utf8(&file[..end])?.lines() {
        let (name, value) = line.split_once(": ").ok_or("no header")?;
        headers.append(HeaderName::try_from(name)?, HeaderValue::try_from(value)?);
    }
    Ok((headers, Bytes::copy_from_slice(&file[end + 2..])))
}

/// The file that [`serve`] reads, from an answer that was taken.
pub(crate) fn answers(taken: &crate::wire::Taken) -> Vec<u8> {
    let mut file = String::new();
    for (name, value) in &taken.headers {
        // The library writes these itself.
        if ![
            "date",
            "content-length",
            "connection",
            "transfer-encoding",
            "keep-alive",
        ]
        .contains(&&**name)
        {
            file.push_str(&format!("{name}: {value}\n"));
        }
    }
    if file.is_empty() {
        file.push_str("x-none: 1\n");
    }
    file.push('\n');
    let mut file = file.into_bytes();
    file.extend(&taken.body);
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_survives_its_file() {
        let taken = crate::wire::Taken {
            status: 200,
            headers: vec![
                ("content-type".into(), "text/plain".into()),
                ("date".into(), "today".into()),
            ],
            body: b"a\n\nb".to_vec(),
        };
        let (headers, body) = parse(&answers(&taken)).expect("it was just written");
        assert_eq!(headers.len(), 1);
        assert_eq!(&body[..], b"a\n\nb");
    }
}
