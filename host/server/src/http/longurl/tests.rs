use proptest::prelude::*;

use super::*;

const BOUNDS: HeadBounds = HeadBounds {
    max_url: 2_000,
    move_over: 100,
    max_head: 600,
    max_headers: 8,
};

/// Feeds `stream` in pieces as the connection does; what hyper reads and the verdicts.
fn feed(stream: &[u8], cuts: &[usize]) -> (Vec<u8>, Vec<(u64, Verdict)>, bool) {
    let mut scanner = Scanner::new(BOUNDS);
    let (mut seen, mut verdicts, mut out) = (Vec::new(), Vec::new(), BytesMut::new());
    let mut at = 0;
    let mut cuts = cuts.iter().cycle();
    while at < stream.len() {
        let n = cuts
            .next()
            .copied()
            .unwrap_or(stream.len())
            .clamp(1, stream.len() - at);
        let piece = &stream[at..at + n];
        at += n;
        let passed = if scanner.held() == 0 {
            scanner.pass(piece)
        } else {
            0
        };
        seen.extend_from_slice(&piece[..passed]);
        if passed < piece.len() {
            scanner.hold(&piece[passed..], &mut out);
        }
        seen.extend_from_slice(&out.split());
        verdicts.extend(scanner.take_verdicts());
    }
    (seen, verdicts, scanner.at_boundary())
}

#[test]
fn ordinary_requests_pass_as_they_are() {
    let stream = b"GET /a?b=c HTTP/1.1\r\nhost: x\r\n\r\n\r\nPOST /b HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcPUT / HTTP/1.1\n\n";
    assert_eq!(feed(stream, &[1_000]), (stream.to_vec(), vec![], true));
}

#[test]
fn a_body_that_looks_like_a_long_request_is_left_alone() {
    let inner = format!("GET /x?{} HTTP/1.1\r\n\r\n", "q".repeat(300));
    let stream = format!(
        "POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{inner}",
        inner.len()
    );
    assert_eq!(
        feed(stream.as_bytes(), &[7]),
        (stream.clone().into_bytes(), vec![], true)
    );
}

#[test]
fn a_long_query_is_moved_and_its_fragment_dropped() {
    let query = "content=".to_owned() + &"x".repeat(300);
    let stream = format!(
        "GET /first HTTP/1.1\r\n\r\nPOST /a/b?{query}#frag HTTP/1.1\r\nhost: y\r\nContent-Length: 2\r\n\r\nhi"
    );
    let (seen, verdicts, at_boundary) = feed(stream.as_bytes(), &[13]);
    let expected =
        "GET /first HTTP/1.1\r\n\r\nPOST /a/b HTTP/1.1\r\nhost: y\r\nContent-Length: 2\r\n\r\nhi";
    assert_eq!(String::from_utf8(seen).unwrap(), expected);
    assert_eq!(verdicts, vec![(2, Verdict::LongQuery(query.into()))]);
    assert!(at_boundary);
}

#[test]
fn too_long_is_refused_before_it_is_complete() {
    for (stream, verdict) in [
        (format!("GET /{}", "x".repeat(3_000)), Verdict::UrlTooLong),
        (
            format!("GET /?{} HTTP/1.1\r\n\r\n", "x".repeat(2_000)),
            Verdict::UrlTooLong,
        ),
        (
            format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(200)),
            Verdict::UrlTooLong,
        ),
        (
            format!("GET / HTTP/1.1\r\na: {}", "x".repeat(700)),
            Verdict::HeadTooLarge,
        ),
        (
            format!("GET / HTTP/1.1\r\n{}", "a: b\r\n".repeat(9)),
            Verdict::HeadTooLarge,
        ),
        (
            format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(9)),
            Verdict::HeadTooLarge,
        ),
    ] {
        for cut in [1, 50, 10_000] {
            let (seen, verdicts, _) = feed(stream.as_bytes(), &[cut]);
            assert_eq!(
                (seen.as_slice(), verdicts),
                (REFUSED_HEAD, vec![(1, verdict.clone())]),
                "{stream:.40} by {cut}"
            );
        }
    }
}

#[test]
fn odd_framing_turns_the_look_out_off() {
    let long = format!("GET /?{} HTTP/1.1\r\n\r\n", "x".repeat(300));
    for odd in [
        "POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: +3\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nx: y\r\n Content-Length: 3\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX\r\n",
        "CONNECT a:1 HTTP/1.1\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\n",
        "\x16\x03\x01",
        "GET /a\r\n",
    ] {
        let stream = format!("{odd}{long}");
        assert_eq!(
            feed(stream.as_bytes(), &[11]).0,
            stream.as_bytes(),
            "{odd:?}"
        );
    }
}

/// One request as sent and as hyper should read it.
#[derive(Debug, Clone)]
struct Sample {
    sent: Vec<u8>,
    read: Vec<u8>,
    query: Option<Bytes>,
}

fn sample() -> impl Strategy<Value = Sample> {
    let query = prop_oneof![Just(0usize), 1..90usize, 110..1_500usize];
    let body = prop_oneof![
        Just((String::new(), Vec::new())),
        proptest::collection::vec(any::<u8>(), 0..200)
            .prop_map(|b| (format!("content-LENGTH:  {} \r\n", b.len()), b)),
        proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..60), 0..4).prop_map(
            |chunks| {
                let mut body = Vec::new();
                for chunk in chunks {
                    body.extend_from_slice(format!("{:X};x=\"y\"\r\n", chunk.len()).as_bytes());
                    body.extend_from_slice(&chunk);
                    body.extend_from_slice(b"\r\n");
                }
                body.extend_from_slice(b"0\r\ntrailer: GET\r\n\r\n");
                ("Transfer-Encoding: chunked\r\n".to_owned(), body)
            }
        ),
    ];
    (
        prop_oneof![Just("GET"), Just("POST"), Just("DELETE")],
        query,
        body,
        any::<bool>(),
    )
        .prop_map(|(method, query, (framing, body), blank)| {
            let query = "k=v&".chars().cycle().take(query).collect::<String>();
            let target = if query.is_empty() {
                "/path".to_owned()
            } else {
                format!("/path?{query}")
            };
            let moved = target.len() > BOUNDS.move_over;
            let blank = if blank { "\r\n" } else { "" };
            let whole = |target: &str| {
                let head = format!(
                    "{blank}{method} {target} HTTP/1.1\r\nhost: a\r\n{framing}x: y\r\n\r\n"
                );
                [head.as_bytes(), &body].concat()
            };
            Sample {
                sent: whole(&target),
                read: whole(if moved { "/path" } else { &target }),
                query: moved.then(|| query.into()),
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// However the network cuts the stream, hyper reads the same requests and each gets its own query.
    #[test]
    fn cuts_change_nothing(samples in proptest::collection::vec(sample(), 1..6), cuts in proptest::collection::vec(1..300usize, 1..8)) {
        let sent: Vec<u8> = samples.iter().flat_map(|s| s.sent.clone()).collect();
        let read: Vec<u8> = samples.iter().flat_map(|s| s.read.clone()).collect();
        let verdicts: Vec<_> = samples.iter().zip(1..)
            .filter_map(|(s, n)| s.query.clone().map(|q| (n, Verdict::LongQuery(q)))).collect();
        prop_assert_eq!(feed(&sent, &cuts), (read, verdicts, true));
    }

    /// Noise neither panics nor makes bytes up.
    #[test]
    fn noise_is_survived(noise in proptest::collection::vec(any::<u8>(), 0..400), cuts in proptest::collection::vec(1..50usize, 1..4)) {
        let stream = [b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".as_slice(), &noise].concat();
        let (seen, ..) = feed(&stream, &cuts);
        prop_assert!(stream.starts_with(&seen) || seen.ends_with(REFUSED_HEAD));
    }
}
