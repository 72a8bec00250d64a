//! The registry of MCP servers and A2A agents: what is stored of them, and what each request makes of that.
//!
//! It has no storage of its own: as in Nacos 3.x, a server or an agent is some configs, their tags and some services.
//! Users of configs see those too and may edit them, so what is read is read defensively. Each request is a pure
//! function of what is stored ([`decision`]); carrying out its steps is [`crate::api`]'s.

pub mod a2a;
pub mod decision;
mod fields;
pub mod mcp;

use alloc::{
    format,
    string::{String, ToString as _},
    vec::Vec,
};

use serde_json::{Map, Value};

use crate::{
    model::{Instance, ServiceKey},
    view::{ConfigFilter, Reading, TextFilter},
};

/// A JSON object.
pub type Object = Map<String, Value>;

/// Why a request is refused, in the reference's terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// HTTP status; over gRPC the `errorCode`.
    pub status: u16,
    /// Code of the error table; HTTP only.
    pub code: u32,
    /// Detail.
    pub text: String,
}

impl Fault {
    fn new(status: u16, code: u32, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { status, code, text }
    }

    /// A part of the request that must be there is not.
    #[must_use]
    pub fn missing(name: &str, kind: &str) -> Self {
        let text = format!("Required parameter '{name}' type {kind} is not present");
        Self::new(400, 10_000, text)
    }

    /// A part of the request that is not as it must be.
    pub fn illegal(text: impl Into<String>) -> Self {
        Self::new(400, 20_002, text)
    }

    fn conflict(text: impl Into<String>) -> Self {
        Self::new(409, 20_005, text)
    }

    /// Others kept changing what the request was about to change.
    #[must_use]
    pub fn contended() -> Self {
        Self::conflict("it is being changed by others, please try again")
    }

    /// What would have to be read is too much at once.
    #[must_use]
    pub fn too_much(bytes: usize) -> Self {
        Self::new(413, 30_000, format!("over {bytes} bytes would be read"))
    }
}

/// Which names of a list are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// All.
    All,
    /// This one.
    Is(String),
    /// Those that hold this text.
    Holds(String),
}

impl Named {
    /// From the parameters of a list; a blank name is all.
    #[must_use]
    pub fn of(name: &str, blur: bool) -> Self {
        match name {
            "" => Self::All,
            name if blur => Self::Holds(name.into()),
            name => Self::Is(name.into()),
        }
    }

    fn fits(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Is(wanted) => wanted == name,
            Self::Holds(part) => name.contains(part.as_str()),
        }
    }
}

/// A page of a list: its number, from 1, and its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paging {
    /// Number.
    pub number: usize,
    /// Items.
    pub size: usize,
}

impl Paging {
    /// The part of all items that is this page.
    fn of<T>(self, all: Vec<T>) -> Vec<T> {
        let offset = (self.number - 1).saturating_mul(self.size);
        all.into_iter().skip(offset).take(self.size).collect()
    }

    fn json(self, total: usize, items: &[Value]) -> Value {
        serde_json::json!({
            "totalCount": total,
            "pageNumber": self.number,
            "pagesAvailable": total.div_ceil(self.size.max(1)),
            "pageItems": items,
        })
    }
}

/// Versions stand in data ids, of which they must not break the form.
fn check_version(version: &str) -> Result<(), Fault> {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b':' | b'-');
    if version.len() > 64 || !version.bytes().all(good) {
        return Err(Fault::illegal(format!(
            "version `{version}` is illegal: at most 64 letters, digits or one of `_.:-`"
        )));
    }
    Ok(())
}

/// The configs of a group that bear a mark, the oldest first: data id and tags.
fn marked(view: &dyn Reading, namespace: &str, group: &str, mark: &str) -> Vec<(String, String)> {
    let filter = ConfigFilter {
        namespace: Some(namespace.into()),
        group: TextFilter::Equal(group.into()),
        tags: Vec::from([mark.into()]),
        ..ConfigFilter::default()
    };
    let found = view.configs(&filter, 0, usize::MAX).items.into_iter();
    found
        .map(|(key, item)| {
            let tags = item.formal.as_ref().map(|v| v.tags.to_string());
            (key.data_id.to_string(), tags.unwrap_or_default())
        })
        .collect()
}

/// The instances of a service that can be called.
fn callable(view: &dyn Reading, service: &ServiceKey) -> Vec<alloc::sync::Arc<Instance>> {
    let service = view.service(service);
    let all = service.iter().flat_map(|s| s.instances());
    all.filter(|i| i.healthy && i.enabled).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_part_of_data_ids() {
        for good in ["1.0.0", "v2:rc-1_a", ""] {
            assert_eq!(check_version(good), Ok(()));
        }
        for bad in ["1/2", "1 2", "é", "1@2"] {
            assert_eq!(check_version(bad).map_err(|f| f.code), Err(20_002), "{bad}");
        }
        assert!(check_version(&"1".repeat(65)).is_err());
    }

    #[test]
    fn a_page_counts_all() {
        let paging = Paging { number: 2, size: 2 };
        assert_eq!(paging.of(Vec::from([1, 2, 3])), [3]);
        let page = paging.json(3, &[]);
        assert_eq!(
            (&page["pagesAvailable"], &page["totalCount"]),
            (&2.into(), &3.into())
        );
    }
}
