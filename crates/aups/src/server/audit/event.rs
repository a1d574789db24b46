//! What a line of the trail can say.

use aups_core::{Attributes, Bump, GroupName, KeyId, ReaderKind, ScopeId, Sub, UnixMillis};
use aups_nos::quarantine::Party;
use aups_policy::SchemaExtension;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

/// Longest path that is recorded, in characters; of a longer one, its beginning.
const PATH_CHARS_MAX: usize = 512;
/// Longest method that is recorded, in characters: HTTP lets anybody make up methods.
const METHOD_CHARS_MAX: usize = 16;
/// Most that is recorded of what a request changed, in bytes of JSON; of more, only the names.
const NOTE_BYTES_MAX: usize = 48 << 10;

/// Something that happened. Whoever reads a trail skips the events that it does not know: there will be more.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub(crate) enum Event {
    /// The server starts; nothing was served before this line.
    Started {
        /// Of the program.
        version: String,
    },
    /// The end of the trail could not be read after a kill or a power failure and was cut off. Nothing of it had been
    /// answered.
    Repaired {
        /// The file that was cut.
        file: String,
        /// How much was cut off.
        bytes: u64,
    },
    /// At the start, this version of the policy set came into force.
    PoliciesLoaded {
        /// Its number; 0 is the empty set.
        version: u64,
        /// How many policies it has.
        policies: usize,
    },
    /// At the start, this version of the configuration came into force.
    ConfigLoaded {
        /// Its number; 0 is what the settings say.
        version: u64,
    },
    /// An administrator asks for a change; nothing has happened yet. Without a `call` that names it, the server was killed
    /// meanwhile, and the change may or may not be made.
    Begun(Call),
    /// An administrator's request other than a read, and its outcome.
    Call {
        /// Number of the line that said that it began.
        begun: u64,
        /// Whose, and what.
        #[serde(flatten)]
        call: Call,
        /// Of the answer.
        status: u16,
        /// What it changed.
        #[serde(default, skip_serializing_if = "Map::is_empty")]
        changed: Map<String, Value>,
    },
    /// Reads of one kind, since a time up to this line.
    Reads {
        /// Name of the token.
        actor: String,
        /// From where.
        address: IpAddr,
        /// The path, with `{…}` where names stand.
        route: String,
        /// Of the answers.
        status: u16,
        /// How many.
        count: u64,
        /// From when on.
        since: UnixMillis,
    },
    /// Somebody without a valid token.
    Refused {
        /// Where from, and what for; the actor is known if its token has ended.
        #[serde(flatten)]
        call: Call,
        /// Of the answer.
        status: u16,
    },
    /// A sender is kept out of the data path: by what it did, or by an administrator.
    Quarantined {
        /// Which.
        who: Party,
        /// Until when.
        until: UnixMillis,
        /// The offence that was one too many, or what the administrator said.
        reason: String,
        /// Which time it is of those that still count; 0: by an administrator.
        times: u32,
    },
    /// A sender that was kept out is let in again.
    QuarantineLeft {
        /// Which.
        who: Party,
        /// By an administrator before its time was over.
        by_hand: bool,
    },
    /// So many refusals, since a time up to this line, have no line of their own.
    Unrecorded {
        /// How many.
        refusals: u64,
        /// How often somebody was kept out of the data path, or let in again.
        #[serde(default, skip_serializing_if = "is_zero")]
        quarantines: u64,
        /// From when on.
        since: UnixMillis,
    },
    /// A reader used its enrolment token up: it has keys and a password now.
    Enrolled {
        /// A user or an app.
        kind: ReaderKind,
        /// Who.
        sub: Sub,
        /// From where.
        address: IpAddr,
    },
    /// What is registered and in force is told from the beginning by so many lines after this one: the server was killed, or
    /// this is the first line of a trail that can tell it.
    State {
        /// How many lines.
        lines: usize,
    },
    /// A reader is this from now on.
    Reader {
        /// A user or an app.
        kind: ReaderKind,
        /// Who.
        sub: Sub,
        /// Its attributes.
        attrs: Attributes,
        /// The groups that it is in, without those that hold them.
        groups: BTreeSet<GroupName>,
        /// The app that registered it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        app: Option<Sub>,
        /// Whether it has keys.
        enrolled: bool,
    },
    /// A reader is gone, and the users of an app with it.
    ReaderRemoved {
        /// Who.
        sub: Sub,
    },
    /// A group is in these groups from now on.
    Group {
        /// Its name.
        group: GroupName,
        /// The groups that hold it.
        groups: BTreeSet<GroupName>,
    },
    /// A group is gone.
    GroupRemoved {
        /// Its name.
        group: GroupName,
    },
    /// What was added to the schema is this from now on.
    Schema {
        /// Its number.
        version: u64,
        /// All that was added.
        extension: SchemaExtension,
    },
    /// A part of the text of a version of the policy set.
    PolicyText {
        /// The version.
        version: u64,
        /// Which part, from 0; the first begins the text.
        part: usize,
        /// What it says.
        text: String,
    },
    /// From now on this version of the policy set is in force, whose text the lines before told.
    PoliciesInForce {
        /// Its number; 0 is the empty set.
        version: u64,
        /// In how many parts its text was told.
        parts: usize,
    },
    /// A part of the document of a version of the configuration.
    ConfigText {
        /// The version.
        version: u64,
        /// Which part, from 0; the first begins the document.
        part: usize,
        /// What it says.
        text: String,
    },
    /// From now on this version of the configuration is in force, whose document the lines before told.
    ConfigInForce {
        /// Its number; 0 is what the settings say.
        version: u64,
        /// In how many parts its document was told.
        parts: usize,
    },
    /// Keys were replaced because readers lost the right to them.
    Bumped {
        /// The scopes with their new bumps.
        scopes: BTreeMap<ScopeId, Bump>,
        /// Because of whom.
        readers: BTreeSet<Sub>,
    },
    /// A scope was made: its keys exist from now on.
    ScopeMade {
        /// The scope.
        scope: ScopeId,
    },
    /// A scope's keys were replaced, for whatever reason.
    ScopeBumped {
        /// The scope.
        scope: ScopeId,
        /// The bump before.
        from: Bump,
        /// The bump from now on.
        to: Bump,
    },
    /// Keys of a scope are held by somebody who should not: they are never given again.
    ScopeCompromised {
        /// The scope.
        scope: ScopeId,
    },
    /// A scope is gone, its keys with it: destroyed, or not used for longer than any of them opens.
    ScopeGone {
        /// The scope.
        scope: ScopeId,
    },
    /// A root generation was made: keys come from it.
    RootMade {
        /// Its number.
        root: u32,
    },
    /// A root generation was destroyed: no key of its time can be derived any more.
    RootDestroyed {
        /// Its number.
        root: u32,
    },
    /// Who may read under a scope, in words: before the first key of it that this run of the server gives or denies.
    Scope {
        /// The scope.
        scope: ScopeId,
        /// In words.
        atb: String,
    },
    /// What a reader got when it asked for keys.
    Keys {
        /// Who asked.
        sub: Sub,
        /// From where; absent: over MQTT.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        address: Option<IpAddr>,
        /// What it got.
        granted: Vec<Granted>,
        /// What it did not get.
        denied: Vec<Denied>,
    },
    /// What the realm signs of all lines before this one.
    Checkpoint {
        /// A JWS of type `aups-audit`.
        signed: String,
    },
    /// The server stops by itself; without this line, it was killed.
    Stopped {
        /// A hash of what was registered and in force, as far as the trail tells it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state: Option<String>,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// A key that a reader got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Granted {
    /// Which.
    pub(crate) key_id: KeyId,
    /// Whose key it is.
    pub(crate) scope: ScopeId,
    /// Where the reader says that it saw a message under it; a key of the following epoch: under the one before.
    pub(crate) topic: String,
}

/// A key that a reader did not get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Denied {
    /// Which.
    pub(crate) key_id: KeyId,
    /// The scope that does not take the reader; absent: there is no such key, or none any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) scope: Option<ScopeId>,
    /// Where the reader says that it saw a message under it.
    pub(crate) topic: String,
}

/// A request of the administrator's API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Call {
    /// Name of the token, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) actor: Option<String>,
    /// From where; behind a proxy, the proxy's.
    pub(crate) address: IpAddr,
    /// Of HTTP.
    pub(crate) method: String,
    /// Without the query.
    pub(crate) path: String,
}

impl Call {
    /// A request, with as much of its method and path as is recorded.
    pub(crate) fn new(actor: Option<&str>, address: IpAddr, method: &str, path: &str) -> Self {
        Self {
            actor: actor.map(ToOwned::to_owned),
            address: address.to_canonical(),
            method: method.chars().take(METHOD_CHARS_MAX).collect(),
            path: path.chars().take(PATH_CHARS_MAX).collect(),
        }
    }
}

/// What a request changed, told by the code that changes it: an extension of every administrator's request. Never a
/// secret.
#[derive(Debug, Clone, Default)]
pub(crate) struct Note(Arc<Mutex<Told>>);

#[derive(Debug, Default)]
struct Told {
    changed: Map<String, Value>,
    bytes: usize,
}

impl Note {
    /// Adds a member to what was changed. Where all of it would be too long for a line, `null` stands for this member.
    pub(crate) fn add(&self, name: &'static str, value: impl Serialize) {
        // What has no JSON form is none of ours: texts, numbers, lists and maps by name.
        let value = serde_json::to_value(value).unwrap_or_default();
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = told.bytes.saturating_add(name.len()).saturating_add(value.to_string().len());
        if bytes <= NOTE_BYTES_MAX {
            told.bytes = bytes;
            told.changed.insert(name.into(), value);
        } else {
            told.changed.insert(name.into(), Value::Null);
        }
    }

    /// All that was added.
    pub(crate) fn changed(&self) -> Map<String, Value> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).changed.clone()
    }
}
