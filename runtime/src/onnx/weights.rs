//! The constant tensors of a file: as much data as their dimensions say, none that would not fit into memory, and none from outside
//! the model's folder.

use std::path::{Component, Path};

use tract_onnx::pb::{
    TensorProto,
    tensor_proto::{DataLocation, DataType},
};

/// The largest tensor that a model may declare, bytes.
pub const LARGEST_BYTES: u64 = 4 << 30;

/// How many elements these dimensions hold; `None` where that is negative or no number.
pub fn elements(dims: &[i64]) -> Option<u64> {
    dims.iter().try_fold(1_u64, |product, dim| product.checked_mul(u64::try_from(*dim).ok()?))
}

/// Bytes of one element; `None` for text and types that the engines do not have.
pub fn element_bytes(data_type: i32) -> Option<u64> {
    Some(match DataType::try_from(data_type).ok()? {
        DataType::Bool | DataType::Int8 | DataType::Uint8 => 1,
        DataType::Float16 | DataType::Bfloat16 | DataType::Int16 | DataType::Uint16 => 2,
        DataType::Float | DataType::Int32 | DataType::Uint32 => 4,
        DataType::Double | DataType::Int64 | DataType::Uint64 => 8,
        _ => return None,
    })
}

/// Bytes of a constant, wherever its data is; 0 where that is not known.
pub fn bytes(tensor: &TensorProto) -> u64 {
    elements(&tensor.dims).zip(element_bytes(tensor.data_type)).map_or(0, |(n, size)| n.saturating_mul(size))
}

/// Holds a constant's data against its dimensions. Weights in files of their own must be in `folder`.
pub fn check(tensor: &TensorProto, folder: Option<&Path>) -> Result<(), String> {
    let name = &tensor.name;
    let dims = || tensor.dims.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
    let Some(wanted) = elements(&tensor.dims) else {
        return Err(format!(
            "the constant `{name}` has the dimensions [{}], which hold no number of elements",
            dims()
        ));
    };
    let Some(size) = element_bytes(tensor.data_type) else { return Ok(()) };
    let bytes = wanted.checked_mul(size).filter(|bytes| *bytes <= LARGEST_BYTES);
    let Some(bytes) = bytes else {
        return Err(format!("the constant `{name}` of [{}] is larger than {LARGEST_BYTES} bytes", dims()));
    };
    let found = if tensor.data_location == Some(DataLocation::External as i32) {
        external(tensor, folder, bytes)?
    } else if tensor.raw_data.is_empty() {
        // Four-byte fields hold the smaller types too, one to a field.
        let fields = [
            tensor.float_data.len(),
            tensor.int32_data.len(),
            tensor.int64_data.len(),
            tensor.double_data.len(),
            tensor.uint64_data.len(),
        ];
        (fields.into_iter().max().unwrap_or(0) as u64).saturating_mul(size)
    } else {
        tensor.raw_data.len() as u64
    };
    if found == bytes {
        return Ok(());
    }
    Err(format!("the constant `{name}` of [{}] needs {bytes} bytes, but the file has {found}", dims()))
}

/// The bytes that a file beside the model has for a constant.
fn external(tensor: &TensorProto, folder: Option<&Path>, wanted: u64) -> Result<u64, String> {
    let name = &tensor.name;
    let entry = |key: &str| {
        tensor.external_data.iter().find(|entry| entry.key == key).map(|entry| entry.value.as_str())
    };
    let location = entry("location").unwrap_or_default();
    let Some(folder) = folder else {
        return Err(format!(
            "the constant `{name}` is in the file `{location}`; load the model from its folder"
        ));
    };
    let inside =
        Path::new(location).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let found = folder.canonicalize().and_then(|folder| Ok((folder.join(location).canonicalize()?, folder)));
    let file = match found {
        _ if !inside || location.is_empty() => None,
        Ok((file, folder)) => Some(file).filter(|file| file.starts_with(folder)),
        Err(error) => return Err(format!("the constant `{name}` is in the file `{location}`: {error}")),
    };
    let Some(file) = file else {
        return Err(format!(
            "the constant `{name}` is in `{location}`, outside the model's folder; put the file beside the model"
        ));
    };
    let number = |key: &str| match entry(key).map(str::parse::<u64>) {
        None => Ok(None),
        Some(Ok(value)) => Ok(Some(value)),
        Some(Err(_)) => Err(format!("the constant `{name}` has no number as its {key} in `{location}`")),
    };
    let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
    let len = file
        .metadata()
        .map_err(|error| format!("the constant `{name}` is in the file `{location}`: {error}"))?
        .len();
    let rest = len.saturating_sub(offset);
    Ok(match length {
        Some(length) => length.min(rest),
        // Without a length the rest of the file may belong to others.
        None => rest.min(wanted),
    })
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb::StringStringEntryProto;

    use super::*;

    fn floats(dims: &[i64], values: usize) -> TensorProto {
        TensorProto {
            name: "w".into(),
            data_type: DataType::Float as i32,
            dims: dims.to_vec(),
            float_data: vec![0.5; values],
            ..TensorProto::default()
        }
    }

    #[test]
    fn dimensions_and_data_must_agree() {
        let refused = |tensor: TensorProto| check(&tensor, None).unwrap_err();
        assert_eq!(check(&floats(&[2, 3], 6), None), Ok(()));
        assert_eq!(check(&floats(&[], 1), None), Ok(()));
        assert_eq!(check(&floats(&[0, 3], 0), None), Ok(()));
        assert_eq!(
            refused(floats(&[2, 3], 5)),
            "the constant `w` of [2,3] needs 24 bytes, but the file has 20"
        );
        assert!(refused(floats(&[2, 3], 0)).contains("the file has 0"));
        assert!(refused(floats(&[-1], 1)).contains("hold no number"));
        assert!(refused(floats(&[i64::MAX, 4], 1)).contains("hold no number"));
        assert!(refused(floats(&[1 << 40], 1)).contains("is larger than"));
        let raw = TensorProto { raw_data: vec![0; 7], ..floats(&[2], 0) };
        assert!(refused(raw).contains("needs 8 bytes, but the file has 7"));
    }

    #[test]
    fn weights_in_files_must_be_beside_the_model() {
        let home = std::env::temp_dir().join(format!("eddyline-weights-{}", std::process::id()));
        let folder = home.join("model");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("w.bin"), [0; 24]).unwrap();
        std::fs::write(home.join("secret"), [0; 24]).unwrap();
        let at = |entries: &[(&str, &str)]| {
            let entry = |(key, value): &(&str, &str)| StringStringEntryProto {
                key: (*key).into(),
                value: (*value).into(),
            };
            let tensor = TensorProto {
                external_data: entries.iter().map(entry).collect(),
                data_location: Some(DataLocation::External as i32),
                ..floats(&[2, 3], 0)
            };
            check(&tensor, Some(&folder))
        };
        assert_eq!(at(&[("location", "w.bin")]), Ok(()));
        assert_eq!(at(&[("location", "w.bin"), ("offset", "0"), ("length", "24")]), Ok(()));
        let refused = |entries: &[(&str, &str)]| at(entries).unwrap_err();
        assert!(refused(&[("location", "w.bin"), ("offset", "8")]).contains("the file has 16"));
        assert!(refused(&[("location", "w.bin"), ("offset", "-8")]).contains("no number"));
        for outside in ["../secret", "/etc/passwd", "", "./../secret"] {
            assert!(refused(&[("location", outside)]).contains("outside the model's folder"), "{outside}");
        }
        assert!(refused(&[("location", "none.bin")]).contains("none.bin"));
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(home.join("secret"), folder.join("link")).unwrap();
            assert!(refused(&[("location", "link")]).contains("outside the model's folder"));
        }
        std::fs::remove_dir_all(&home).unwrap();
    }
}
