//! Routes as data: each a row, from which dispatch, checks, rights and the reference page are made.
//!
//! How a row is found and what is checked before its `make` runs is [`super::Routes`]'.

use super::{
    call::Args,
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
    /// To read MCP servers and agents.
    ReadAi,
    /// To write MCP servers and agents.
    WriteAi,
    /// Administrators'.
    Admin,
    /// Whoever has this server's token ([`Call::operator`](super::Call)); asked for already.
    Operator,
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
    /// A comma-separated list.
    List,
}

impl Kind {
    /// Whether a text is of this kind, as the reference converts it.
    #[must_use]
    pub fn takes(self, text: &str) -> bool {
        match self {
            Self::Text | Self::List => true,
            Self::Int => text.parse::<i32>().is_ok(),
            Self::Long => text.parse::<i64>().is_ok(),
            // Not what Rust reads as a number but Java does not, and no number without a size.
            Self::Float => text.parse().is_ok_and(f64::is_finite),
            Self::Bool => ["true", "on", "yes", "1", "false", "off", "no", "0"]
                .iter()
                .any(|t| text.eq_ignore_ascii_case(t)),
        }
    }

    /// What the reference's messages call it: the type of a declared parameter, or that of a form's field.
    #[must_use]
    pub fn java(self, field: bool) -> &'static str {
        match (self, field) {
            (Self::Text, _) => "String",
            (Self::Int, false) => "int",
            (Self::Int, true) => "Integer",
            (Self::Long, _) => "Long",
            (Self::Float, false) => "float",
            (Self::Float, true) => "Double",
            (Self::Bool, false) => "boolean",
            (Self::Bool, true) => "Boolean",
            (Self::List, _) => "List",
        }
    }
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
    /// Whether the reference's handler asks for it, or its form checks it, instead of the framework by declaration.
    /// Then blank counts as missing, flags take any text, and the words of a refusal are others.
    pub asked: bool,
    /// What it is if it is not given or blank.
    pub default: Option<&'static str>,
    /// What it means, for the reference page.
    pub meaning: &'static str,
}

impl Param {
    /// An optional text.
    #[must_use]
    pub const fn text(name: &'static str, meaning: &'static str) -> Self {
        Self {
            name,
            alias: None,
            kind: Kind::Text,
            required: false,
            asked: false,
            default: None,
            meaning,
        }
    }

    /// An optional parameter of some kind.
    #[must_use]
    pub const fn of(name: &'static str, kind: Kind, meaning: &'static str) -> Self {
        Self {
            kind,
            ..Self::text(name, meaning)
        }
    }

    /// This one, required.
    #[must_use]
    pub const fn required(self) -> Self {
        Self {
            required: true,
            ..self
        }
    }

    /// This one, asked for by the handler ([`Self::asked`]).
    #[must_use]
    pub const fn asked(self) -> Self {
        Self {
            asked: true,
            ..self
        }
    }

    /// This one with another name.
    #[must_use]
    pub const fn or(self, alias: &'static str) -> Self {
        Self {
            alias: Some(alias),
            ..self
        }
    }

    /// This one with a default.
    #[must_use]
    pub const fn default(self, default: &'static str) -> Self {
        Self {
            default: Some(default),
            ..self
        }
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
    /// MCP servers and agents.
    Ai,
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
    /// Path below the context path; a part in braces takes any one part ([`Args::part`]).
    pub path: &'static str,
    /// Further paths that lead here.
    pub also: &'static [&'static str],
    /// Paths of the console of 3.x that lead here: the same, without layer A.
    pub console: &'static [&'static str],
    /// A parameter with a value that must be there (`search=blur`); routes with one go before those without.
    /// The value `*` takes any.
    pub when: Option<(&'static str, &'static str)>,
    /// Compatibility class.
    pub class: Class,
    /// What 3.x names instead when it refuses the route by its class, `GET ${contextPath:nacos}/v3/…`; empty for none.
    pub instead: &'static str,
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

impl Route {
    /// A row of `/v1/ns` to fill in by struct update.
    pub const NAMING_V1: Self = Self {
        generation: Generation::V1,
        area: Area::NamingV1,
        methods: &[Method::Get],
        path: "",
        also: &[],
        console: &[],
        when: None,
        class: Class::Admin,
        instead: "",
        params: &[],
        check: Check::Naming,
        right: Right::ReadNaming,
        summary: "",
        make: unmade,
    };
    /// A row of `/v1/cs` to fill in by struct update.
    pub const CONFIG_V1: Self = Self {
        area: Area::ConfigV1,
        class: Class::Console,
        check: Check::Config,
        right: Right::ReadConfig,
        ..Self::NAMING_V1
    };
    /// A row of `/v1/console` and `/v1/core` to fill in by struct update.
    pub const CONSOLE_V1: Self = Self {
        area: Area::ConsoleV1,
        class: Class::Console,
        check: Check::Namespace,
        right: Right::Admin,
        ..Self::NAMING_V1
    };
    /// A row of v2 to fill in by struct update.
    pub const V2: Self = Self {
        generation: Generation::V2,
        area: Area::Wrapped,
        ..Self::NAMING_V1
    };
    /// A row of v3 to fill in by struct update; its class is of no account.
    pub const V3: Self = Self {
        generation: Generation::V3,
        check: Check::None,
        ..Self::V2
    };

    /// A row of our own API, below `/nacrite/v1`, to fill in by struct update.
    pub const OWN: Self = Self {
        generation: Generation::Own,
        right: Right::Admin,
        ..Self::V3
    };

    /// All its paths.
    pub fn paths(&self) -> impl Iterator<Item = &'static str> {
        let further = self.also.iter().chain(self.console).copied();
        core::iter::once(self.path).chain(further)
    }

    /// Layer A on one of its paths.
    #[must_use]
    pub fn check_on(&self, path: &str) -> Check {
        if self.console.contains(&path) {
            Check::None
        } else {
            self.check
        }
    }
}

/// What a row does that nobody filled in; a test sees that there is none.
fn unmade(_: &Args<'_>) -> Result<Plan, Fault> {
    Err(Fault::business(501, "not there"))
}
