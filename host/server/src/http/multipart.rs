//! Multipart forms: config imports come so. The whole body is in memory and bounded already.

use std::borrow::Cow;

use memchr::memmem;
use nacrite_core::api::FormPart;

/// Parts of one form, at most.
const MAX_PARTS: usize = 64;

/// The boundary that a content type names.
#[must_use]
pub(super) fn boundary(content_type: &str) -> Option<String> {
    content_type.split(';').skip(1).find_map(|part| {
        let (name, value) = part.split_once('=')?;
        let value = value.trim().trim_matches('"');
        (name.trim().eq_ignore_ascii_case("boundary") && (1..=70).contains(&value.len()))
            .then(|| value.to_owned())
    })
}

/// The parts of a body (RFC 7578).
///
/// # Errors
/// What is wrong with it, in words.
pub(super) fn parse<'a>(body: &'a [u8], boundary: &str) -> Result<Vec<FormPart<'a>>, &'static str> {
    let mark = format!("--{boundary}");
    let mut rest = body
        .strip_prefix(mark.as_bytes())
        .or_else(|| {
            memmem::find(body, format!("\r\n{mark}").as_bytes())
                .map(|at| &body[at + 2 + mark.len()..])
        })
        .ok_or("the form does not begin with its boundary")?;
    let delimiter = format!("\r\n{mark}");
    let mut parts = Vec::new();
    loop {
        if rest.starts_with(b"--") {
            return Ok(parts);
        }
        rest = rest
            .strip_prefix(b"\r\n")
            .ok_or("a boundary of the form is not followed by a line end")?;
        let end = memmem::find(rest, delimiter.as_bytes()).ok_or("the form is cut off")?;
        let part = &rest[..end];
        rest = &rest[end + delimiter.len()..];
        let (head, bytes) = match part.strip_prefix(b"\r\n") {
            Some(bytes) => (&part[..0], bytes),
            None => {
                let at = memmem::find(part, b"\r\n\r\n")
                    .ok_or("a part of the form has no end of its head")?;
                (&part[..at], &part[at + 4..])
            }
        };
        if parts.len() == MAX_PARTS {
            return Err("the form has too many parts");
        }
        if let Some((name, file)) = disposition(head) {
            parts.push(FormPart {
                name: Cow::Owned(name),
                file: file.map(Cow::Owned),
                bytes,
            });
        }
    }
}

/// Name and file name of a part.
fn disposition(head: &[u8]) -> Option<(String, Option<String>)> {
    let head = String::from_utf8_lossy(head);
    let line = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim()
            .eq_ignore_ascii_case("content-disposition")
            .then(|| value.to_owned())
    })?;
    let attribute = |want: &str| {
        line.split(';').skip(1).find_map(|item| {
            let (name, value) = item.split_once('=')?;
            name.trim()
                .eq_ignore_ascii_case(want)
                .then(|| value.trim().trim_matches('"').to_owned())
        })
    };
    Some((attribute("name")?, attribute("filename")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_files_are_told_apart() {
        let body = b"--b\r\nContent-Disposition: form-data; name=\"policy\"\r\n\r\nSKIP\r\n--b\r\n\
            content-disposition: form-data; name=\"file\"; filename=\"a.zip\"\r\nContent-Type: application/zip\r\n\r\nPK\r\n\x00\r\n--b--\r\n";
        let parts = parse(body, "b").unwrap();
        assert_eq!(parts.len(), 2);
        assert_eq!(
            (&*parts[0].name, parts[0].file.is_none(), parts[0].bytes),
            ("policy", true, &b"SKIP"[..])
        );
        assert_eq!(
            (parts[1].file.as_deref(), parts[1].bytes),
            (Some("a.zip"), &b"PK\r\n\x00"[..])
        );
    }

    #[test]
    fn what_is_no_form_is_said() {
        for bad in [
            &b""[..],
            b"--b",
            b"--b\r\n",
            b"--b\r\nx",
            b"--b\r\nx\r\n--b--",
            b"--c\r\n\r\n--c--",
        ] {
            assert!(parse(bad, "b").is_err(), "{bad:?}");
        }
        assert_eq!(
            boundary("multipart/form-data; boundary=\"x y\"").as_deref(),
            Some("x y")
        );
        assert_eq!(boundary("multipart/form-data"), None);
    }

    proptest::proptest! {
        #[test]
        fn noise_never_panics(bytes: Vec<u8>) {
            let _ = parse(&bytes, "b");
            let mut framed = b"--b\r\n".to_vec();
            framed.extend(bytes);
            framed.extend(b"\r\n--b--");
            let _ = parse(&framed, "b");
        }
    }
}
