//! The models: where they are, what they take, and what their answers mean.

use std::{error::Error, path::PathBuf};

use eddyline::{prelude::*, runtime::onnx::OnnxModel};
use serde::{Deserialize, Serialize};

use crate::{
    boxes::{TextBox, boxes},
    picture,
};

/// The files that `scripts/fetch-models.sh` fetches.
pub const LIGHT_DETECTOR: &str = "ocr_det_tiny.onnx";
pub const HEAVY_DETECTOR: &str = "ocr_det_v4.onnx";
pub const LIGHT_READER: &str = "ocr_rec_tiny.onnx";
pub const HEAVY_READER: &str = "ocr_rec_v4.onnx";
pub const ORIENTATION: &str = "doc_orientation.onnx";

/// A file of the models' folder.
pub fn file(name: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/models")).join(name);
    if !path.exists() {
        return Err(format!("the model {} is missing; run scripts/fetch-models.sh receipts", path.display()));
    }
    Ok(path)
}

/// The red, green and blue of a picture, one after the other, each less `mean` and over `deviation` on a scale of 0 to 1.
fn planes(
    image: &Image,
    mean: [f32; 3],
    deviation: [f32; 3],
) -> Result<Tensor, eddyline::runtime::tensor::TensorError> {
    let mut values = Vec::with_capacity(image.rgb.len());
    for channel in 0..3 {
        let one = image.rgb.iter().skip(channel).step_by(3);
        values.extend(one.map(|v| (f32::from(*v) / 255.0 - mean[channel]) / deviation[channel]));
    }
    Tensor::new([3, image.height as usize, image.width as usize], values)
}

const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const DEVIATION: [f32; 3] = [0.229, 0.224, 0.225];

/// Finds text in `image_of` a record.
pub fn detector<T: Data, U: Data>(
    name: &str,
    image_of: impl Fn(&T) -> &Image + Send + 'static,
    made: impl Fn(&T, Vec<TextBox>) -> U + Send + 'static,
) -> Result<Model<T, U>, Box<dyn Error>> {
    let path = file(name)?;
    let (input, output) = names(&path)?;
    Ok(Model::onnx(path).input(&input, move |record: &T| planes(image_of(record), MEAN, DEVIATION)).output(
        &output,
        move |record, map| {
            let width = map.shape().last().copied().unwrap_or(1);
            made(record, boxes(map.values::<f32>().unwrap_or_default(), width))
        },
    ))
}

/// What a reader makes of a piece of text.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Text {
    pub text: String,
    /// The mean of its letters' probabilities.
    pub confidence: f32,
}

/// Reads one line of text.
pub fn reader<T: Data, U: Data>(
    name: &str,
    strip: impl Fn(&T) -> (&Image, TextBox) + Send + 'static,
    made: impl Fn(&T, Text) -> U + Send + 'static,
) -> Result<Model<T, U>, Box<dyn Error>> {
    let path = file(name)?;
    let (input, output) = names(&path)?;
    let known = OnnxModel::load(&path)?
        .metadata("character")
        .ok_or_else(|| format!("{} does not say which characters it knows", path.display()))?;
    // What it knows by number: nothing, its characters, a space.
    let letters: Vec<String> = ["", known.trim_end_matches('\n'), " "]
        .iter()
        .flat_map(|part| part.split('\n').map(str::to_owned))
        .collect();
    let line = move |record: &T| {
        let (page, place) = strip(record);
        place.cut_out(page, 48, 160, 640)
    };
    Ok(Model::onnx(path).input(&input, line).output(&output, move |record, output| {
        let steps = output.values::<f32>().unwrap_or_default();
        made(record, spelled(steps, output.shape().last().copied().unwrap_or(1), &letters))
    }))
}

/// The most probable letter at each step, where repetitions are one and number 0 parts letters (CTC, Graves et al., ICML 2006).
fn spelled(steps: &[f32], known: usize, letters: &[String]) -> Text {
    let (mut text, mut sum, mut count, mut last) = (String::new(), 0.0, 0, 0);
    for step in steps.chunks_exact(known) {
        let (best, p) = step
            .iter()
            .enumerate()
            .fold((0, 0.0), |(at, most), (i, p)| if *p > most { (i, *p) } else { (at, most) });
        if best != 0 && best != last {
            text.push_str(letters.get(best).map_or("", String::as_str));
            sum += p;
            count += 1;
        }
        last = best;
    }
    Text { text: text.trim().to_owned(), confidence: if count == 0 { 0.0 } else { sum / count as f32 } }
}

/// Says by how many right angles a page is turned clockwise.
pub fn orientation<T: Data, U: Data>(
    image_of: impl Fn(&T) -> &Image + Send + 'static,
    made: impl Fn(&T, u32) -> U + Send + 'static,
) -> Result<Model<T, U>, Box<dyn Error>> {
    let path = file(ORIENTATION)?;
    let (input, output) = names(&path)?;
    Ok(Model::onnx(path)
        .input(&input, move |record: &T| planes(&middle(image_of(record)), MEAN, DEVIATION))
        .output(&output, move |record, output| {
            let p = output.values::<f32>().unwrap_or_default();
            let best = (0..p.len()).max_by(|&a, &b| p[a].total_cmp(&p[b])).unwrap_or(0);
            made(record, best as u32)
        }))
}

/// The middle of a page, as the model of orientation was taught.
fn middle(image: &Image) -> Image {
    let shrunk = 256.0 / image.width.min(image.height) as f32;
    let small = picture::resized(
        image,
        (image.width as f32 * shrunk).round() as u32,
        (image.height as f32 * shrunk).round() as u32,
    );
    picture::cropped(&small, 224, 224)
}

/// The names of a model's one input and one output.
fn names(path: &std::path::Path) -> Result<(String, String), Box<dyn Error>> {
    let model = OnnxModel::load(path)?;
    match (model.inputs(), model.outputs()) {
        ([input], [output, ..]) => Ok((input.name.clone(), output.name.clone())),
        _ => Err(format!("{} has not one input; fetch it again", path.display()).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_are_one_letter_unless_something_lies_between() {
        let letters = ["", "a", "b"].map(str::to_owned);
        let step = |best: usize| (0..3).map(move |at| if at == best { 0.8 } else { 0.1 });
        let steps: Vec<f32> = [0, 1, 1, 0, 1, 2, 2, 0].into_iter().flat_map(step).collect();
        let read = spelled(&steps, 3, &letters);
        assert_eq!(read.text, "aab");
        assert!((read.confidence - 0.8).abs() < 1e-6);
        assert_eq!(spelled(&[1.0, 0.0, 0.0], 3, &letters).confidence, 0.0);
    }
}
