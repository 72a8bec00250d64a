//! An HTTP request as the edge hands it over, and its parameters once they are checked.

use alloc::{borrow::Cow, string::String, sync::Arc, vec::Vec};

use super::{
    answer::Answer,
    fault::{Fault, Telling},
    plan::Plan,
    route::{Compat, Kind, Method, Param, Route},
};
use crate::{
    model::shared,
    node::{
        input::Now,
        op::Op,
        reply::{Refusal, Reply},
    },
    view::Reading,
};

/// A request, parsed but not yet understood.
pub struct Call<'a> {
    /// Its method.
    pub method: Method,
    /// Its path as received, without the context path `/nacos` and without the query; still percent-encoded.
    pub path: &'a str,
    /// The path as received, for error pages.
    pub full_path: &'a str,
    /// The query as received, still encoded; empty if there is none.
    pub query: &'a [u8],
    /// Parameters of the query and of a form body, decoded, in order; the query's first.
    pub params: &'a [(Cow<'a, str>, Cow<'a, str>)],
    /// Looks up a header by its lower-case name.
    pub header: &'a dyn Fn(&str) -> Option<&'a str>,
    /// A body that is no form.
    pub body: &'a [u8],
    /// Parts of a multipart body.
    pub parts: &'a [FormPart<'a>],
    /// Whether a form body was given but too large to be read (the reference then sees no parameters).
    pub form_too_large: bool,
    /// Address of the caller: first of `X-Forwarded-For`, else `X-Real-IP`, else the socket's.
    pub ip: &'a str,
    /// Whether the caller showed the token that only who runs this server has.
    pub operator: bool,
    /// The read side.
    pub view: &'a dyn Reading,
    /// The time.
    pub now: Now,
    /// What is known of this server.
    pub server: &'a ServerFacts,
}

/// One part of a multipart form.
#[derive(Clone, Debug)]
pub struct FormPart<'a> {
    /// Field name.
    pub name: Cow<'a, str>,
    /// File name, if it is a file.
    pub file: Option<Cow<'a, str>>,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// What answers say of this server. Fixed at start but for `load`, `cpu` and `mem`, which the host keeps fresh.
#[derive(Clone, Debug)]
pub struct ServerFacts {
    /// How old generations answer.
    pub compat: Compat,
    /// Version of this server.
    pub version: Arc<str>,
    /// Address that members and clients name it by.
    pub ip: Arc<str>,
    /// HTTP port.
    pub port: u16,
    /// Whether it is the only member.
    pub standalone: bool,
    /// Largest content, characters.
    pub max_content: usize,
    /// Largest plugin, bytes.
    pub max_plugin: usize,
    /// Whether quotas are enforced.
    pub capacity_check: bool,
    /// Default quotas: cluster, group, namespace.
    pub quotas: [u32; 3],
    /// Default largest content, bytes, where quotas are enforced.
    pub max_size: u32,
    /// Days that history is kept.
    pub retention_days: u32,
    /// Most keys of one long poll.
    pub max_poll_keys: usize,
    /// System load average of a minute.
    pub load: f32,
    /// Share of the CPU in use, 0…1.
    pub cpu: f32,
    /// Share of the memory in use, 0…1.
    pub mem: f32,
}

/// The parameters of a route, every one checked to be there and of its kind.
pub struct Args<'a> {
    call: &'a Call<'a>,
    route: &'static Route,
}

impl<'a> Args<'a> {
    /// Checks that what the route requires is given, and that everything given is of its kind; the first fault in
    /// the order of the route's rows.
    pub fn new(call: &'a Call<'a>, route: &'static Route) -> Result<Self, Fault> {
        let args = Self { call, route };
        for row in route.params {
            let Param {
                name, kind, asked, ..
            } = *row;
            // What a handler asks for must not be blank, nor what is a number; a declared text may be.
            let given = args
                .given(name)
                .filter(|v| !v.is_empty() || (kind == Kind::Text && !asked));
            match given {
                None if row.required => return Err(Fault::Missing { name, kind, asked }),
                // Handlers read flags with parsers that take everything.
                Some(value) if !(kind.takes(value) || asked && kind == Kind::Bool) => {
                    return Err(Fault::Convert {
                        name,
                        value: value.into(),
                        kind,
                        asked,
                    });
                }
                _ => {}
            }
        }
        Ok(args)
    }

    /// The request.
    #[must_use]
    pub fn call(&self) -> &'a Call<'a> {
        self.call
    }

    /// A parameter as given (trimmed), by its name or, if that is missing or blank, by its alias; none if it is
    /// missing. Blank counts as given.
    #[must_use]
    pub fn given(&self, name: &str) -> Option<&'a str> {
        let own = self.call.param(name);
        let alias = || self.call.param(self.row(name)?.alias?);
        own.filter(|v| !v.is_empty()).or_else(alias).or(own)
    }

    /// A parameter, or the default of its row (or nothing) if it is missing or blank.
    #[must_use]
    pub fn text(&self, name: &str) -> &'a str {
        let given = self.given(name).filter(|v| !v.is_empty());
        given.unwrap_or_else(|| self.row(name).and_then(|p| p.default).unwrap_or_default())
    }

    fn row(&self, name: &str) -> Option<&'static Param> {
        self.route.params.iter().find(|p| p.name == name)
    }

    /// The part of the path that stands where the route's path has `{name}`, decoded; empty if it has none.
    #[must_use]
    pub fn part(&self, name: &str) -> Cow<'a, str> {
        let mut parts = self.route.path.split('/').zip(self.call.path.split('/'));
        let is = |pattern: &str| {
            pattern.strip_prefix('{').and_then(|p| p.strip_suffix('}')) == Some(name)
        };
        parts
            .find(|(pattern, _)| is(pattern))
            .map_or(Cow::Borrowed(""), |(_, part)| percent_decoded(part))
    }

    /// A parameter as an owned text.
    #[must_use]
    pub fn string(&self, name: &str) -> String {
        self.text(name).into()
    }

    /// A parameter as a shared text.
    #[must_use]
    pub fn shared(&self, name: &str) -> Arc<str> {
        shared(self.text(name))
    }

    /// A whole number; the row's check has made sure that it is one. 0 if it is missing without default.
    #[must_use]
    pub fn int(&self, name: &str) -> i64 {
        self.text(name).parse().unwrap_or_default()
    }

    /// A number; 0 if it is missing without default.
    #[must_use]
    pub fn float(&self, name: &str) -> f64 {
        self.text(name).parse().unwrap_or_default()
    }

    /// A flag, "loose": `y yes on true t` in any case (Nacos `BooleanUtils`).
    #[must_use]
    pub fn loose(&self, name: &str) -> bool {
        ["y", "yes", "on", "true", "t"]
            .iter()
            .any(|t| self.text(name).eq_ignore_ascii_case(t))
    }

    /// A flag that the reference declares as `boolean`: `true on yes 1` in any case.
    #[must_use]
    pub fn flag(&self, name: &str) -> bool {
        ["true", "on", "yes", "1"]
            .iter()
            .any(|t| self.text(name).eq_ignore_ascii_case(t))
    }

    /// A flag, "strict": only `true` in any case.
    #[must_use]
    pub fn strict(&self, name: &str) -> bool {
        self.text(name).eq_ignore_ascii_case("true")
    }

    /// Page number (from 1) and size, bounded so that an answer is; the offset of the page's first item is
    /// `(number - 1) * size`.
    #[must_use]
    pub fn page(&self, most: usize) -> (usize, usize) {
        let number = usize::try_from(self.int("pageNo")).unwrap_or(1).max(1);
        let size = usize::try_from(self.int("pageSize")).unwrap_or(0).min(most);
        (number, size)
    }

    /// How a fault of this request is told, also after the request itself is gone.
    #[must_use]
    pub fn telling(&self) -> Telling<'static> {
        let Telling {
            area,
            compat,
            path,
            wall,
        } = Telling::new(self.route.area, self.call);
        Telling {
            area,
            compat,
            path: path.into_owned().into(),
            wall,
        }
    }

    /// A plan that hands over an operation and answers with what `done` makes of its reply; a refusal is told as the
    /// route's area tells it ([`Fault`]'s `From<Refusal>`).
    pub fn submit(
        &self,
        op: Op,
        done: impl FnOnce(Reply) -> Result<Answer, Fault> + Send + 'static,
    ) -> Plan {
        self.submit_or(op, Fault::from, done)
    }

    /// As [`Self::submit`], with words of the route's own for refusals.
    pub fn submit_or(
        &self,
        op: Op,
        refused: impl FnOnce(Refusal) -> Fault + Send + 'static,
        done: impl FnOnce(Reply) -> Result<Answer, Fault> + Send + 'static,
    ) -> Plan {
        let telling = self.telling();
        Plan::submit(op, move |answered| {
            let answer = answered.map_err(refused).and_then(done);
            answer.unwrap_or_else(|fault| fault.tell(&telling))
        })
    }
}

/// A part of a path with its `%XX` replaced; what is no UTF-8 then, or no such pair, stays as it is.
pub(super) fn percent_decoded(part: &str) -> Cow<'_, str> {
    if !part.contains('%') {
        return Cow::Borrowed(part);
    }
    let mut out = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let digit = |at: usize| tail.get(at).and_then(|b| char::from(*b).to_digit(16));
        match (byte, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).expect("two digits of sixteen make a byte"));
                rest = &tail[2..];
            }
            _ => {
                out.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8(out).map_or(Cow::Borrowed(part), Cow::Owned)
}

impl<'a> Call<'a> {
    /// First value of a parameter, trimmed as the reference trims.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&'a str> {
        self.params
            .iter()
            .find(|(k, _)| k == name)
            .map(|(_, v)| v.trim())
    }

    /// First value of a parameter, byte by byte as sent (contents).
    #[must_use]
    pub fn raw(&self, name: &str) -> Option<&'a str> {
        self.params
            .iter()
            .find(|(k, _)| k == name)
            .map(|(_, v)| &**v)
    }

    /// All values of all parameters by name, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.params.iter().map(|(k, _)| &**k)
    }

    /// All pairs, owned: for steps that outlive the call.
    #[must_use]
    pub fn owned(&self) -> Vec<(String, String)> {
        self.params
            .iter()
            .map(|(k, v)| (k.clone().into_owned(), v.clone().into_owned()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_paths_are_decoded() {
        assert_eq!(percent_decoded("a%20b%E5%90%8D"), "a b名");
        assert_eq!(percent_decoded("100%"), "100%");
        assert_eq!(percent_decoded("%zz%ff"), "%zz%ff");
    }
}
