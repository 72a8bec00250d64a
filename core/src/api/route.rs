//! Routes as data: each a row, from which dispatch, checks, rights and the reference page are made.

use alloc::vec::Vec;

use super::{
    answer::Answer,
    call::{Args, Call},
    fault::{Area, Fault},
    plan::Plan,
};

/// HTTP methods that the API knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Method {
    Get,
    Post,
    Put,
    Delete,
    Patch,
    Head,
    Options,
}

/// Which generation of the API a route is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Generation {
    /// 1.x, plain texts and bare JSON.
    V1,
    /// 2.x, `Result` wrapper.
    V2,
    /// 3.x client, admin or console API.
    V3,
    /// Our own.
    Own,
}

/// How the old generations answer: `--compat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compat {
    /// v1 and v2 as 2.x does, v3 as 3.x does; everything is served.
    #[default]
    All,
    /// As 2.x does; v3 is not served.
    V2,
    /// As 3.x does; v1 and v2 admin and console routes answer 410.
    V3,
}

/// Compatibility class of a v1/v2 route (3.x serves them by class).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Clients.
    Client,
    /// Administration.
    Admin,
    /// Console.
    Console,
    /// Members.
    Inner,
}

/// The right that a route needs. Nobody is asked yet; the rows say it for the day they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// None.
    Open,
    /// To read naming.
    ReadNaming,
    /// To write naming.
    WriteNaming,
    /// To read configs.
    ReadConfig,
    /// To write configs.
    WriteConfig,
    /// Administrators'.
    Admin,
}

/// What a parameter is, as the reference declares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `String`.
    Text,
    /// `int`.
    Int,
    /// `long`.
    Long,
    /// `float` or `double`.
    Float,
    /// `boolean`, strict or loose.
    Bool,
}

/// A parameter of a route.
#[derive(Clone, Copy, Debug)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// Another name for it.
    pub alias: Option<&'static str>,
    /// What it is.
    pub kind: Kind,
    /// Whether it must be given.
    pub required: bool,
    /// What it is if it is not given or blank.
    pub default: Option<&'static str>,
    /// What it means, for the reference page.
    pub meaning: &'static str,
}

impl Param {
    /// An optional text.
    #[must_use]
    pub const fn text(name: &'static str, meaning: &'static str) -> Self {
        Self { name, alias: None, kind: Kind::Text, required: false, default: None, meaning }
    }

    /// An optional parameter of some kind.
    #[must_use]
    pub const fn of(name: &'static str, kind: Kind, meaning: &'static str) -> Self {
        Self { kind, ..Self::text(name, meaning) }
    }

    /// This one, required.
    #[must_use]
    pub const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    /// This one with another name.
    #[must_use]
    pub const fn or(self, alias: &'static str) -> Self {
        Self { alias: Some(alias), ..self }
    }

    /// This one with a default.
    #[must_use]
    pub const fn default(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }
}

/// Which parameters the reference's parameter-check filter ("layer A") reads on a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// None.
    None,
    /// Naming's default set.
    Naming,
    /// `serviceName`, `groupName`, `namespaceId`, `clusters` list.
    NamingList,
    /// Naming's of a beat, with what stands in `beat`.
    Beat,
    /// Naming's and each element of `instances`.
    MetadataBatch,
    /// Config's default set.
    Config,
    /// Config search: nothing when `search=blur`.
    ConfigSearch,
    /// Namespaces.
    Namespace,
}

/// A route.
#[derive(Clone, Copy)]
pub struct Route {
    /// Of which generation.
    pub generation: Generation,
    /// How its errors are told.
    pub area: Area,
    /// Methods it answers.
    pub methods: &'static [Method],
    /// Path below the context path; a part in braces takes any one part.
    pub path: &'static str,
    /// A parameter with a value that must be there (`search=blur`); routes with one go before those without.
    /// The value `*` takes any.
    pub when: Option<(&'static str, &'static str)>,
    /// Compatibility class.
    pub class: Class,
    /// Parameters, in the order in which the reference misses them.
    pub params: &'static [Param],
    /// Layer A.
    pub check: Check,
    /// Right it needs.
    pub right: Right,
    /// What it is for, for the reference page.
    pub summary: &'static str,
    /// Makes the plan from checked parameters.
    pub make: fn(&Args<'_>) -> Result<Plan, Fault>,
}

/// All routes, found by path.
pub struct Routes {
    rows: Vec<&'static Route>,
}

impl Routes {
    /// The routes of all generations.
    #[must_use]
    pub fn all() -> Self {
        let tables: [&'static [Route]; 4] =
            [super::v1::ROUTES, super::console::ROUTES, super::v2::ROUTES, super::v3::ROUTES];
        Self { rows: tables.iter().flat_map(|t| t.iter()).collect() }
    }

    /// All rows.
    pub fn rows(&self) -> impl Iterator<Item = &'static Route> {
        self.rows.iter().copied()
    }

    /// Understands a request: the first step of its answer. Never fails: a fault is an answer too.
    #[must_use]
    pub fn plan(&self, call: &Call<'_>) -> Plan {
        let _ = call;
        Plan::Answer(Answer::text(""))
    }
}
