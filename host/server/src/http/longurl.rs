//! Request heads before hyper: finds them in the byte stream of a connection and moves over-long queries out of the way.
//!
//! One real client puts whole configs into the query, and servers of this protocol take request heads of 512 KB, but
//! `http::Uri` stops at 65,534 bytes. So each head is looked at before hyper sees it: a target longer than
//! [`HeadBounds::move_over`] is cut at its `?`, the query is kept aside, and hyper gets the path alone. Nothing of this
//! travels in a header that a client could forge: heads are numbered in their order on the connection, and the edge
//! gives the query of head *n* to the *n*th request as an extension ([`LongQuery`]; read it with [`query`]).
//!
//! An ordinary head costs one walk over its lines. Bodies are only counted. Whatever looks odd (unknown framing,
//! folded lines, noise) turns the look-out off for the rest of the connection: hyper then judges it alone, so that the
//! two can never disagree about where a request begins.
//!
//! Not for reading parameters, nor for time: this module does no I/O and knows no clock.

mod body;

use bytes::{Bytes, BytesMut};
use http::{Extensions, Uri};
use memchr::{memchr, memrchr};

use self::body::{BodyTracker, Tracked};

/// The query of a request whose URL was too long for `http::Uri`: the bytes between `?` and the end of the target.
#[derive(Clone, Debug)]
pub struct LongQuery(pub Bytes);

/// The raw query of a request, wherever it travelled: empty when there is none.
pub fn query<'a>(uri: &'a Uri, extensions: &'a Extensions) -> &'a [u8] {
    match extensions.get::<LongQuery>() {
        Some(long) => &long.0,
        None => uri.query().unwrap_or_default().as_bytes(),
    }
}

/// What a head may cost, in bytes and lines.
#[derive(Clone, Copy, Debug)]
pub struct HeadBounds {
    /// Longest request target; one longer is answered 414.
    pub max_url: usize,
    /// A target longer than this has its query moved aside. At most 65,000, because hyper must take what is shorter.
    pub move_over: usize,
    /// Most bytes of a head beside its target; more is answered 431.
    pub max_head: usize,
    /// Most header lines; more is answered 431.
    pub max_headers: u32,
}

/// What the edge must know of a head that was not passed as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The query that was taken out of the target.
    LongQuery(Bytes),
    /// The target is longer than allowed: 414, then close.
    UrlTooLong,
    /// Too many bytes or lines: 431, then close.
    HeadTooLarge,
    /// The memory for requests under way is used up: 503, then close.
    Overloaded,
}

/// Stands for a refused head, so that the refusal is answered in its turn, after the requests before it.
const REFUSED_HEAD: &[u8] = b"GET / HTTP/1.1\r\nhost: _\r\nconnection: close\r\n\r\n";

/// Longest method and version beside the target in a request line.
const REQUEST_LINE_SLACK: usize = 64;

/// Follows one connection's bytes from head to head.
#[derive(Debug)]
pub(crate) struct Scanner {
    bounds: HeadBounds,
    state: State,
    /// A head that is not complete yet.
    held: BytesMut,
    head: Head,
    /// Heads given to hyper so far.
    heads: u64,
    verdicts: Vec<(u64, Verdict)>,
}

#[derive(Debug)]
enum State {
    Head,
    Body(BodyTracker),
    /// Everything passes unseen.
    Blind,
    /// A head was refused: nothing passes any more.
    Refused,
}

/// How far the head under way has been read; offsets count from its first byte.
#[derive(Debug, Default)]
struct Head {
    line_start: usize,
    searched: usize,
    has_request_line: bool,
    headers: u32,
    target: (usize, usize),
    is_http_10: bool,
    framing: Framing,
    end: Option<usize>,
}

/// Which body follows, decided as hyper decides it.
#[derive(Debug, Default, Clone, Copy)]
struct Framing {
    length: Option<u64>,
    has_transfer_encoding: bool,
    chunked: bool,
    odd: bool,
}

enum Step {
    /// So many bytes go on as they are.
    Pass(usize),
    /// The head is not complete.
    More,
    /// The head is complete and its query has to be moved.
    Move,
    Refuse(Verdict),
}

impl Scanner {
    pub(crate) fn new(bounds: HeadBounds) -> Self {
        Scanner {
            bounds,
            state: State::Head,
            held: BytesMut::new(),
            head: Head::default(),
            heads: 0,
            verdicts: Vec::new(),
        }
    }

    /// Bytes kept back until their head is complete.
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    /// Whether a head was refused: no further byte of this connection matters.
    pub(crate) fn is_refused(&self) -> bool {
        matches!(self.state, State::Refused)
    }

    /// Whether the bytes so far end with a whole request.
    pub(crate) fn at_boundary(&self) -> bool {
        matches!(self.state, State::Head) && self.held.is_empty()
    }

    /// The verdicts since the last call, with the number (from 1) of the head that each is about.
    pub(crate) fn take_verdicts(&mut self) -> Vec<(u64, Verdict)> {
        std::mem::take(&mut self.verdicts)
    }

    /// How many leading bytes of `fresh` go to hyper as they are. The rest belongs to [`hold`](Self::hold).
    /// Only to be called while nothing is held.
    pub(crate) fn pass(&mut self, fresh: &[u8]) -> usize {
        debug_assert!(
            self.held.is_empty(),
            "bytes after a held head must be held too"
        );
        let mut at = 0;
        while at < fresh.len() {
            match self.step(&fresh[at..]) {
                Step::Pass(n) => at += n,
                Step::More | Step::Move | Step::Refuse(_) => break,
            }
        }
        at
    }

    /// Takes bytes that cannot be passed as they are, and appends to `out` what hyper is to read.
    pub(crate) fn hold(&mut self, bytes: &[u8], out: &mut BytesMut) {
        if self.is_refused() {
            return;
        }
        self.held.extend_from_slice(bytes);
        // Taken out while steps read it: they do not touch it.
        let mut held = std::mem::take(&mut self.held);
        while !held.is_empty() {
            match self.step(&held) {
                Step::Pass(n) => out.extend_from_slice(&held.split_to(n)),
                Step::More => break,
                Step::Move => self.move_query(&mut held, out),
                Step::Refuse(verdict) => {
                    self.refuse(verdict, out);
                    return;
                }
            }
        }
        if !held.is_empty() {
            self.held = held;
        }
    }

    /// Ends the connection's requests with a verdict for the head under way.
    pub(crate) fn refuse(&mut self, verdict: Verdict, out: &mut BytesMut) {
        self.held = BytesMut::new();
        self.heads += 1;
        self.verdicts.push((self.heads, verdict));
        self.state = State::Refused;
        out.extend_from_slice(REFUSED_HEAD);
    }

    fn step(&mut self, bytes: &[u8]) -> Step {
        match &mut self.state {
            State::Head => self.step_head(bytes),
            State::Body(tracker) => match tracker.advance(bytes) {
                Tracked::Inside(n) => Step::Pass(n),
                Tracked::Ended(n) => {
                    self.state = State::Head;
                    Step::Pass(n)
                }
                Tracked::Odd => self.go_blind(bytes),
            },
            State::Blind => Step::Pass(bytes.len()),
            State::Refused => Step::More,
        }
    }

    fn go_blind(&mut self, bytes: &[u8]) -> Step {
        self.state = State::Blind;
        self.head = Head::default();
        Step::Pass(bytes.len())
    }

    fn step_head(&mut self, bytes: &[u8]) -> Step {
        if !self.head.has_request_line
            && !bytes[0].is_ascii_alphabetic()
            && bytes[0] != b'\r'
            && bytes[0] != b'\n'
        {
            return self.go_blind(bytes);
        }
        let end = loop {
            if let Some(end) = self.head.end {
                break end;
            }
            let head = &mut self.head;
            let Some(found) = memchr(b'\n', &bytes[head.searched..]) else {
                head.searched = bytes.len();
                return self.judge_unfinished(bytes.len());
            };
            let newline = head.searched + found;
            let line = &bytes[head.line_start..newline];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let line_start = head.line_start;
            head.searched = newline + 1;
            head.line_start = newline + 1;
            if !head.has_request_line {
                if line.is_empty() {
                    // Empty lines before a request are allowed and mean nothing.
                    self.head = Head::default();
                    return Step::Pass(newline + 1);
                }
                if !head.read_request_line(line, line_start, self.bounds.move_over) {
                    return self.go_blind(bytes);
                }
            } else if line.is_empty() {
                head.end = Some(newline + 1);
            } else {
                head.headers += 1;
                head.framing.read_header(line);
            }
        };
        let target = self.head.target_len();
        if target > self.bounds.max_url {
            Step::Refuse(Verdict::UrlTooLong)
        } else if end - target > self.bounds.max_head || self.head.headers > self.bounds.max_headers
        {
            Step::Refuse(Verdict::HeadTooLarge)
        } else if target > self.bounds.move_over {
            Step::Move
        } else {
            self.finish_head(bytes);
            Step::Pass(end)
        }
    }

    /// Refuses an unfinished head as soon as it is certain that it is too large.
    fn judge_unfinished(&self, len: usize) -> Step {
        let target = self.head.target_len();
        if !self.head.has_request_line {
            if len > self.bounds.max_url + REQUEST_LINE_SLACK {
                return Step::Refuse(Verdict::UrlTooLong);
            }
        } else if target > self.bounds.max_url {
            return Step::Refuse(Verdict::UrlTooLong);
        } else if len - target > self.bounds.max_head || self.head.headers > self.bounds.max_headers
        {
            return Step::Refuse(Verdict::HeadTooLarge);
        }
        Step::More
    }

    /// Gives hyper the head at the front of `held` without its query, which becomes a verdict.
    fn move_query(&mut self, held: &mut BytesMut, out: &mut BytesMut) {
        let (from, to) = self.head.target;
        let end = self
            .head
            .end
            .expect("a head is moved only when it is complete");
        let target = &held[from..to];
        let path_end = memchr(b'?', target).unwrap_or(target.len());
        if path_end > self.bounds.move_over {
            // The path itself is too long for any route.
            self.refuse(Verdict::UrlTooLong, out);
            held.clear();
            return;
        }
        let query = target.get(path_end + 1..).unwrap_or_default();
        // A fragment is not part of the query; `http::Uri` drops it too.
        let query = &query[..memchr(b'#', query).unwrap_or(query.len())];
        let query = Bytes::copy_from_slice(query);
        out.extend_from_slice(&held[..from + path_end]);
        out.extend_from_slice(&held[to..end]);
        self.finish_head(held);
        self.verdicts.push((self.heads, Verdict::LongQuery(query)));
        let _moved = held.split_to(end);
    }

    fn finish_head(&mut self, bytes: &[u8]) {
        self.heads += 1;
        let head = std::mem::take(&mut self.head);
        let is_connect = bytes.starts_with(b"CONNECT ");
        self.state = match head.framing.body(head.is_http_10) {
            _ if is_connect => State::Blind,
            Some(Some(tracker)) => State::Body(tracker),
            Some(None) => State::Head,
            None => State::Blind,
        };
    }
}

impl Head {
    fn target_len(&self) -> usize {
        self.target.1 - self.target.0
    }

    /// False when this is no request line that hyper would take.
    fn read_request_line(&mut self, line: &[u8], at: usize, move_over: usize) -> bool {
        let (Some(first), Some(last)) = (memchr(b' ', line), memrchr(b' ', line)) else {
            return false;
        };
        let version = &line[last + 1..];
        if first == last
            || first > REQUEST_LINE_SLACK / 2
            || !(version == b"HTTP/1.1" || version == b"HTTP/1.0")
        {
            return false;
        }
        let target = &line[first + 1..last];
        // hyper checks the bytes of what it sees; of a moved query it will see none.
        if target.len() > move_over && target.iter().any(|&byte| byte <= b' ' || byte == 0x7f) {
            return false;
        }
        self.has_request_line = true;
        self.is_http_10 = version == b"HTTP/1.0";
        self.target = (at + first + 1, at + last);
        true
    }
}

impl Framing {
    fn read_header(&mut self, line: &[u8]) {
        match line[0] {
            b'c' | b'C' | b't' | b'T' => {}
            // A folded line continues the one before it: hyper refuses it.
            b' ' | b'\t' => {
                self.odd = true;
                return;
            }
            _ => return,
        }
        let Some(colon) = memchr(b':', line) else {
            self.odd = true;
            return;
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            match parse_length(value) {
                Some(length) if self.length.is_none_or(|before| before == length) => {
                    self.length = Some(length);
                }
                _ => self.odd = true,
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            let last = value
                .rsplit(|&byte| byte == b',')
                .next()
                .unwrap_or_default();
            self.has_transfer_encoding = true;
            self.chunked = last.trim_ascii().eq_ignore_ascii_case(b"chunked");
        }
    }

    /// `None`: nobody can tell where the body ends. `Some(None)`: there is no body.
    fn body(self, is_http_10: bool) -> Option<Option<BodyTracker>> {
        if self.odd {
            return None;
        }
        if self.has_transfer_encoding {
            // Both kinds of length in one request is what smuggling looks like.
            let sane = self.chunked && !is_http_10 && self.length.is_none();
            return sane.then(|| Some(BodyTracker::chunked()));
        }
        Some(
            self.length
                .filter(|&length| length > 0)
                .map(BodyTracker::length),
        )
    }
}

fn parse_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
