//! What there is to run on: devices, grouped by kinds whose members are equally fast.

use std::{collections::HashMap, fmt};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Fraction, FractionError};

/// What runs the work of a kind of devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EngineKind {
    /// The processor, at its own pace.
    Cpu,
    /// Real output, at the pace of the profile: unlike devices on one laptop.
    Throttled,
    /// The processor through ONNX Runtime, at its own pace.
    Onnxruntime,
}

impl EngineKind {
    /// The word for it in a file and on the page.
    pub fn name(self) -> &'static str {
        match self {
            EngineKind::Cpu => "cpu",
            EngineKind::Throttled => "throttled",
            EngineKind::Onnxruntime => "onnxruntime",
        }
    }

    /// Whether its devices cannot run a model whose latency is not profiled.
    pub fn needs_profile(self) -> bool {
        matches!(self, EngineKind::Throttled)
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One device. A fraction of a GPU is a device too, of a kind of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Device {
    /// Its name, unique in the cluster.
    pub name: String,
    /// The name of its [`DeviceKind`].
    pub kind: String,
}

/// The network interface of a server, shared by the server's devices.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Link {
    /// What it really carries in each direction, Gbit/s; PPipe (USENIX ATC 2025, §7) takes a fifth of the nominal rate.
    pub gbps: f64,
}

/// A kind of devices: the same engine, the same latencies.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeviceKind {
    /// Its name, unique in the cluster; profiles refer to it.
    pub name: String,
    /// What runs its work.
    pub engine: EngineKind,
    /// How many of its devices a server has; they share the server's link. ≥ 1.
    pub per_server: u32,
    /// The link of such a server; without one, moving data takes no time.
    pub link: Option<Link>,
    /// What a device costs, in whatever unit the cluster's costs have.
    pub cost: f64,
    /// The memory of a device, bytes, where plans are to respect it.
    pub memory_bytes: Option<u64>,
}

impl DeviceKind {
    /// A kind of one device per server, without limits of link or memory, at a cost of 1.
    pub fn new(name: impl Into<String>, engine: EngineKind) -> Self {
        Self { name: name.into(), engine, per_server: 1, link: None, cost: 1.0, memory_bytes: None }
    }

    fn check(&self) -> Result<(), ClusterError> {
        let bad = |field, value: f64, wanted| {
            Err(ClusterError::Value { kind: self.name.clone(), field, value, wanted })
        };
        if self.per_server == 0 {
            return bad("per_server", 0.0, "1 or more");
        }
        if !self.cost.is_finite() || self.cost < 0.0 {
            return bad("cost", self.cost, "a number, 0 or more");
        }
        match (self.link, self.memory_bytes) {
            (Some(link), _) if !link.gbps.is_finite() || link.gbps <= 0.0 => {
                bad("link_gbps", link.gbps, "Gbit/s above 0")
            }
            (_, Some(0)) => bad("memory_bytes", 0.0, "1 or more"),
            _ => Ok(()),
        }
    }
}

/// The devices there are. Checked: names are unique and every device has a kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cluster {
    kinds: Vec<DeviceKind>,
    devices: Vec<Device>,
}

impl Cluster {
    /// The most devices of a cluster.
    pub const MOST_DEVICES: u32 = 1_000_000;

    /// Checks and keeps the parts of a cluster.
    pub fn new(kinds: Vec<DeviceKind>, devices: Vec<Device>) -> Result<Self, ClusterError> {
        if devices.is_empty() {
            return Err(ClusterError::NoDevices);
        }
        for (at, kind) in kinds.iter().enumerate() {
            if kind.name.trim().is_empty() {
                return Err(ClusterError::EmptyName { what: "kind" });
            }
            if kinds[..at].iter().any(|earlier| earlier.name == kind.name) {
                return Err(ClusterError::DuplicateKind { kind: kind.name.clone() });
            }
            if !devices.iter().any(|device| device.kind == kind.name) {
                return Err(ClusterError::EmptyKind { kind: kind.name.clone() });
            }
            kind.name.parse::<Fraction>()?;
            kind.check()?;
        }
        if devices.len() > Self::MOST_DEVICES as usize {
            let kind = devices[0].kind.clone();
            return Err(ClusterError::TooMany { kind, count: devices.len() });
        }
        let mut seen: HashMap<&str, &str> = HashMap::with_capacity(devices.len());
        for device in &devices {
            if device.name.trim().is_empty() {
                return Err(ClusterError::EmptyName { what: "device" });
            }
            if let Some(earlier) = seen.insert(&device.name, &device.kind) {
                return Err(ClusterError::DuplicateDevice {
                    device: device.name.clone(),
                    first: earlier.to_owned(),
                    second: device.kind.clone(),
                });
            }
            if !kinds.iter().any(|kind| kind.name == device.kind) {
                return Err(ClusterError::UnknownKind {
                    device: device.name.clone(),
                    kind: device.kind.clone(),
                });
            }
        }
        Ok(Self { kinds, devices })
    }

    /// One device `cpu` of kind `cpu`: this machine's processor.
    pub fn cpu() -> Self {
        Self {
            kinds: vec![DeviceKind::new("cpu", EngineKind::Cpu)],
            devices: vec![Device { name: "cpu".into(), kind: "cpu".into() }],
        }
    }

    /// A cluster of so many devices of each kind, named `KIND-1`, `KIND-2` and so on; a kind with none is left out.
    pub fn of(kinds: impl IntoIterator<Item = (DeviceKind, u32)>) -> Result<Self, ClusterError> {
        let (mut some, mut devices) = (Vec::new(), Vec::new());
        for (kind, count) in kinds.into_iter().filter(|(_, count)| *count > 0) {
            devices.extend(numbered(&kind.name, count)?);
            some.push(kind);
        }
        Self::new(some, devices)
    }

    /// How many devices of that kind there are.
    pub fn count(&self, kind: &str) -> u32 {
        self.devices.iter().filter(|device| device.kind == kind).count() as u32
    }

    /// All kinds.
    pub fn kinds(&self) -> &[DeviceKind] {
        &self.kinds
    }

    /// All devices, in the order in which they were given.
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// The device of that name.
    pub fn device(&self, name: &str) -> Option<&Device> {
        self.devices.iter().find(|device| device.name == name)
    }

    /// The kind of that name.
    pub fn kind(&self, name: &str) -> Option<&DeviceKind> {
        self.kinds.iter().find(|kind| kind.name == name)
    }
}

/// Devices `KIND-1` to `KIND-count`.
pub(crate) fn numbered(kind: &str, count: u32) -> Result<impl Iterator<Item = Device>, ClusterError> {
    if count > Cluster::MOST_DEVICES {
        return Err(ClusterError::TooMany { kind: kind.to_owned(), count: count as usize });
    }
    Ok((1..=count).map(move |n| Device { name: format!("{kind}-{n}"), kind: kind.to_owned() }))
}

/// A cluster that cannot be.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum ClusterError {
    /// Nothing to run on.
    #[error(
        "the cluster has no devices; add a section such as `[kind.cpu]` with `engine = \"cpu\"` and `devices = [\"cpu\"]`"
    )]
    NoDevices,
    /// More devices than anybody plans for.
    #[error(
        "kind.{kind}.devices: {count} devices are too many; a cluster has at most {}",
        Cluster::MOST_DEVICES
    )]
    TooMany {
        /// The kind, or the first of several.
        kind: String,
        /// How many there are.
        count: usize,
    },
    /// A kind that is written like a part of a device and is none.
    #[error(transparent)]
    Fraction(#[from] FractionError),
    /// A kind or a device without a name.
    #[error("a {what} has an empty name; give it one")]
    EmptyName {
        /// `kind` or `device`.
        what: &'static str,
    },
    /// Two kinds of one name.
    #[error("kind `{kind}` is declared twice; merge the two or rename one")]
    DuplicateKind {
        /// The kind.
        kind: String,
    },
    /// A kind of which there is no device.
    #[error("kind.{kind}.devices is empty; name its devices, or remove the kind")]
    EmptyKind {
        /// The kind.
        kind: String,
    },
    /// Two devices of one name.
    #[error(
        "device `{device}` is listed in kind.{first}.devices and again in kind.{second}.devices; device names are unique in a cluster, rename one"
    )]
    DuplicateDevice {
        /// The device.
        device: String,
        /// The kind that lists it first.
        first: String,
        /// The kind that lists it again.
        second: String,
    },
    /// A device of a kind that is not declared.
    #[error("device `{device}` is of kind `{kind}`, which is not declared; declare it, or name one that is")]
    UnknownKind {
        /// The device.
        device: String,
        /// The missing kind.
        kind: String,
    },
    /// A figure of a kind that means nothing.
    #[error("kind.{kind}.{field} is {value}; give {wanted}")]
    Value {
        /// The kind.
        kind: String,
        /// The field.
        field: &'static str,
        /// What was given.
        value: f64,
        /// What would do.
        wanted: &'static str,
    },
}
