//! What there is to run on: devices, grouped by kinds whose members are equally fast.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What runs the work of a kind of devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EngineKind {
    /// The processor, at its own pace.
    Cpu,
    /// Real output, at the pace of the profile: unlike devices on one laptop.
    Throttled,
}

impl EngineKind {
    /// The word for it in a file and on the page.
    pub fn name(self) -> &'static str {
        match self {
            EngineKind::Cpu => "cpu",
            EngineKind::Throttled => "throttled",
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

/// A kind of devices: the same engine, the same latencies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeviceKind {
    /// Its name, unique in the cluster; profiles refer to it.
    pub name: String,
    /// What runs its work.
    pub engine: EngineKind,
}

/// The devices there are. Checked: names are unique and every device has a kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cluster {
    kinds: Vec<DeviceKind>,
    devices: Vec<Device>,
}

impl Cluster {
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
        }
        for (at, device) in devices.iter().enumerate() {
            if device.name.trim().is_empty() {
                return Err(ClusterError::EmptyName { what: "device" });
            }
            if let Some(earlier) = devices[..at].iter().find(|earlier| earlier.name == device.name) {
                return Err(ClusterError::DuplicateDevice {
                    device: device.name.clone(),
                    first: earlier.kind.clone(),
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
            kinds: vec![DeviceKind { name: "cpu".into(), engine: EngineKind::Cpu }],
            devices: vec![Device { name: "cpu".into(), kind: "cpu".into() }],
        }
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

/// A cluster that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ClusterError {
    /// Nothing to run on.
    #[error(
        "the cluster has no devices; add a section such as `[kind.cpu]` with `engine = \"cpu\"` and `devices = [\"cpu\"]`"
    )]
    NoDevices,
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
}
