//! About how long a layer takes, before anything was measured: what it computes and what it moves, whichever takes longer.

use super::Layer;

/// What a kind of device does in a µs, roughly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Multiplications with an addition.
    pub macs_per_us: f64,
    /// Bytes read and written.
    pub bytes_per_us: f64,
    /// What every layer costs, µs.
    pub layer_us: f64,
}

/// A core, a small GPU and a large one. Their ratios differ widely, so that blocks which are equal on all three are about equal on
/// most devices.
pub const ROUGH: [(&str, Pace); 3] = [
    ("core", Pace { macs_per_us: 20e3, bytes_per_us: 8e3, layer_us: 1.0 }),
    ("small GPU", Pace { macs_per_us: 1.5e6, bytes_per_us: 200e3, layer_us: 8.0 }),
    ("large GPU", Pace { macs_per_us: 15e6, bytes_per_us: 900e3, layer_us: 4.0 }),
];

impl Pace {
    /// About how long a layer takes for one item, µs.
    pub fn us(&self, layer: &Layer) -> f64 {
        let compute = layer.macs as f64 / self.macs_per_us;
        let moved = layer.bytes as f64 / self.bytes_per_us;
        self.layer_us + compute.max(moved)
    }
}
