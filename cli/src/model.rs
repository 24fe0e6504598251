//! A model as the commands are given it: its file, the shapes of its items, and where it is cut.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use eddyline_planner::ProfileError;
use eddyline_runtime::{
    engine::{ItemError, PrepareError},
    onnx::{Cuts, OnnxError, OnnxModel},
    tensor::{Dim, TensorError},
};
use thiserror::Error;

#[derive(Args)]
pub struct ModelArgs {
    /// The ONNX file
    #[arg(value_name = "MODEL.onnx")]
    pub file: PathBuf,
    /// The shape of one item without the batch, where the file leaves dimensions open (x=3x480x736) [default: 64 for each]
    #[arg(long, value_name = "INPUT=SHAPE", value_delimiter = ',')]
    pub shape: Vec<String>,
    /// Into how many blocks it is cut [default: 10, or as many as there can be]
    #[arg(long)]
    pub blocks: Option<usize>,
}

/// A model that could not be looked at or measured.
#[derive(Debug, Error)]
pub enum ModelError {
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    #[error("the model does not run on a made-up item: {0}")]
    Item(#[from] ItemError),
    #[error(transparent)]
    Tensor(#[from] TensorError),
    #[error(transparent)]
    Profile(#[from] ProfileError),
    #[error("--{option} `{value}`: {wanted}")]
    Argument { option: &'static str, value: String, wanted: String },
    #[error("`{file}`: {message}")]
    File { file: String, message: String },
}

/// A model with the shapes of its items and its cuts.
pub struct Read {
    pub model: Arc<OnnxModel>,
    pub shapes: Vec<Vec<usize>>,
    pub cuts: Cuts,
}

impl ModelArgs {
    pub fn read(&self) -> Result<Read, ModelError> {
        let model = Arc::new(OnnxModel::load(&self.file)?);
        let mut given = Vec::with_capacity(self.shape.len());
        for text in &self.shape {
            let wrong =
                |wanted: String| ModelError::Argument { option: "shape", value: text.clone(), wanted };
            let (name, shape) =
                text.split_once('=').ok_or_else(|| wrong("give INPUT=SHAPE, e.g. `x=3x480x736`".into()))?;
            let at = model.input_index(name).ok_or_else(|| {
                let names: Vec<String> = model.inputs().iter().map(ToString::to_string).collect();
                wrong(format!("the model has no input `{name}`; it has {}", names.join(", ")))
            })?;
            let lens = shape.split('x').map(|len| len.parse::<usize>().ok().filter(|len| *len > 0));
            let lens: Option<Vec<usize>> = if shape.is_empty() { Some(vec![]) } else { lens.collect() };
            given.push((
                at,
                lens.ok_or_else(|| wrong("give whole numbers above 0, e.g. `3x480x736`".into()))?,
            ));
        }
        let shape = |(at, spec): (usize, &eddyline_runtime::tensor::TensorSpec)| {
            let len = |dim: &Dim| if let Dim::Fixed(len) = dim { *len } else { 64 };
            let own = || spec.item_shape().iter().map(len).collect();
            given.iter().find(|(of, _)| *of == at).map_or_else(own, |(_, shape)| shape.clone())
        };
        let shapes: Vec<Vec<usize>> = model.inputs().iter().enumerate().map(shape).collect();
        let cuts = Cuts::of(&model, &shapes)?;
        Ok(Read { model, shapes, cuts })
    }

    /// How many blocks are asked for, or else can be had.
    pub fn blocks(&self, cuts: &Cuts) -> usize {
        self.blocks.unwrap_or_else(|| 10.min(cuts.places().len() + 1))
    }

    /// The model's name: that of its file.
    pub fn name(&self) -> String {
        self.file.file_stem().map_or_else(|| "model".to_owned(), |name| name.to_string_lossy().into_owned())
    }
}

pub fn write(path: &Path, text: &str) -> Result<(), ModelError> {
    fs::write(path, text).map_err(|error| ModelError::File {
        file: path.display().to_string(),
        message: format!("cannot be written: {error}; check the path"),
    })
}

/// Where the blocks begin and end: 0, the places, and the number of layers.
pub fn ends(cuts: &Cuts, places: &[usize]) -> Vec<usize> {
    [0].into_iter().chain(places.iter().copied()).chain([cuts.layers().len()]).collect()
}
