//! Tensors: what models take and give, cheap to clone, and the specification of one.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DType {
    /// 32-bit floating point.
    F32,
    /// 32-bit signed integer.
    I32,
    /// 64-bit signed integer.
    I64,
    /// 8-bit unsigned integer.
    U8,
    /// True or false.
    Bool,
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DType::F32 => "f32",
            DType::I32 => "i32",
            DType::I64 => "i64",
            DType::U8 => "u8",
            DType::Bool => "bool",
        })
    }
}

/// A Rust type that a tensor can hold: `f32`, `i32`, `i64`, `u8`, `bool`.
pub trait Element: Copy + Send + Sync + sealed::Sealed + 'static {
    /// Its [`DType`].
    const DTYPE: DType;
    #[doc(hidden)]
    fn wrap(values: Arc<[Self]>) -> Values;
    #[doc(hidden)]
    fn peek(values: &Values) -> Option<&[Self]>;
}

mod sealed {
    pub trait Sealed {}
}

/// The elements of a [`Tensor`], row by row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Values {
    /// 32-bit floating point.
    F32(Arc<[f32]>),
    /// 32-bit signed integers.
    I32(Arc<[i32]>),
    /// 64-bit signed integers.
    I64(Arc<[i64]>),
    /// 8-bit unsigned integers.
    U8(Arc<[u8]>),
    /// Truth values.
    Bool(Arc<[bool]>),
}

macro_rules! elements {
    ($($variant:ident: $type:ty),*) => {
        $(
            impl sealed::Sealed for $type {}
            impl Element for $type {
                const DTYPE: DType = DType::$variant;
                fn wrap(values: Arc<[Self]>) -> Values {
                    Values::$variant(values)
                }
                fn peek(values: &Values) -> Option<&[Self]> {
                    match values {
                        Values::$variant(values) => Some(values),
                        _ => None,
                    }
                }
            }
        )*
        impl Values {
            /// How many there are.
            pub fn len(&self) -> usize {
                match self { $(Values::$variant(values) => values.len(),)* }
            }

            /// Their type.
            pub fn dtype(&self) -> DType {
                match self { $(Values::$variant(_) => DType::$variant,)* }
            }
        }
    };
}
elements!(F32: f32, I32: i32, I64: i64, U8: u8, Bool: bool);

impl Values {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An n-dimensional array. A clone shares its elements.
///
/// ```
/// use eddyline_runtime::tensor::Tensor;
///
/// let picture = Tensor::new([1, 2, 3], vec![0.0_f32, 0.1, 0.2, 0.3, 0.4, 0.5])?;
/// assert_eq!(picture.to_string(), "f32[1,2,3]");
/// assert_eq!(picture.values::<f32>()?[5], 0.5);
/// assert!(Tensor::new([2, 2], vec![1_u8]).is_err());
/// # Ok::<(), eddyline_runtime::tensor::TensorError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Tensor {
    shape: Arc<[usize]>,
    data: Values,
}

#[derive(Deserialize)]
struct Unchecked {
    shape: Vec<usize>,
    data: Values,
}

impl TryFrom<Unchecked> for Tensor {
    type Error = TensorError;

    fn try_from(from: Unchecked) -> Result<Self, TensorError> {
        Tensor::from_values(&from.shape, from.data)
    }
}

impl Tensor {
    /// A tensor of this shape; `values` are its elements, the last dimension running fastest.
    pub fn new<T: Element>(shape: impl AsRef<[usize]>, values: Vec<T>) -> Result<Self, TensorError> {
        Self::from_values(shape.as_ref(), T::wrap(values.into()))
    }

    /// A tensor of one dimension.
    pub fn vector<T: Element>(values: Vec<T>) -> Self {
        let values: Arc<[T]> = values.into();
        Self { shape: Arc::new([values.len()]), data: T::wrap(values) }
    }

    /// A tensor of no dimension.
    pub fn scalar<T: Element>(value: T) -> Self {
        Self { shape: Arc::new([]), data: T::wrap(Arc::new([value])) }
    }

    /// A tensor of this shape over elements that are already shared.
    pub fn from_values(shape: &[usize], data: Values) -> Result<Self, TensorError> {
        let wanted = shape.iter().try_fold(1_usize, |product, dim| product.checked_mul(*dim));
        if wanted != Some(data.len()) {
            return Err(TensorError::Length { shape: shape.to_vec(), found: data.len(), wanted });
        }
        Ok(Self { shape: shape.into(), data })
    }

    /// Bytes of its elements.
    pub fn bytes(&self) -> usize {
        match self.data() {
            Values::F32(values) => size_of_val::<[f32]>(values),
            Values::I32(values) => size_of_val::<[i32]>(values),
            Values::I64(values) => size_of_val::<[i64]>(values),
            Values::U8(values) => size_of_val::<[u8]>(values),
            Values::Bool(values) => size_of_val::<[bool]>(values),
        }
    }

    /// Its dimensions, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The type of its elements.
    pub fn dtype(&self) -> DType {
        self.data.dtype()
    }

    /// How many elements it has.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// Its elements, the last dimension running fastest.
    pub fn values<T: Element>(&self) -> Result<&[T], TensorError> {
        T::peek(&self.data).ok_or_else(|| TensorError::Type { found: self.dtype(), asked: T::DTYPE })
    }

    /// Its elements, whatever their type.
    pub fn data(&self) -> &Values {
        &self.data
    }

    /// The same elements in another shape of as many.
    pub fn reshape(&self, shape: impl AsRef<[usize]>) -> Result<Self, TensorError> {
        Self::from_values(shape.as_ref(), self.data.clone())
    }
}

impl fmt::Display for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.dtype(), dims(&self.shape))
    }
}

/// Dimensions as they are shown everywhere: `1,8,8`.
pub(crate) fn dims<T: fmt::Display>(shape: &[T]) -> String {
    shape.iter().map(T::to_string).collect::<Vec<_>>().join(",")
}

/// A tensor that cannot be, or is not what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TensorError {
    /// Shape and elements do not fit.
    #[error("shape [{}] holds {} elements, but {found} were given; {}",
        dims(shape), wanted.map_or("too many".to_owned(), |n| n.to_string()), "change the shape or the elements")]
    Length {
        /// The shape.
        shape: Vec<usize>,
        /// How many elements were given.
        found: usize,
        /// How many it holds; `None` where that is no number of this machine.
        wanted: Option<usize>,
    },
    /// The elements are of another type.
    #[error("the tensor holds {found}, not {asked}; read it with `values::<{found}>()`")]
    Type {
        /// What it holds.
        found: DType,
        /// What was asked.
        asked: DType,
    },
}

/// One dimension of a [`TensorSpec`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dim {
    /// Always this long.
    Fixed(usize),
    /// As long as the caller likes; the name is the model's own, `N` for a batch.
    Dynamic(String),
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dim::Fixed(len) => write!(f, "{len}"),
            Dim::Dynamic(name) if name.is_empty() => f.write_str("?"),
            Dim::Dynamic(name) => f.write_str(name),
        }
    }
}

/// What a model says of one of its inputs or outputs. The first dimension is the batch; an item's tensor does not have it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TensorSpec {
    /// Its name in the model.
    pub name: String,
    /// The type of its elements.
    pub dtype: DType,
    /// Its dimensions, the batch included.
    pub shape: Vec<Dim>,
}

impl TensorSpec {
    /// The dimensions of one item: all but the first.
    pub fn item_shape(&self) -> &[Dim] {
        self.shape.get(1..).unwrap_or_default()
    }

    /// Whether one item's tensor may have this shape.
    pub fn takes(&self, item_shape: &[usize]) -> bool {
        let wanted = self.item_shape();
        wanted.len() == item_shape.len()
            && wanted.iter().zip(item_shape).all(|(dim, len)| match dim {
                Dim::Fixed(fixed) => fixed == len,
                Dim::Dynamic(_) => true,
            })
    }
}

/// `` `picture` f32[N,1,8,8] ``
impl fmt::Display for TensorSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}[{}]", self.name, self.dtype, dims(&self.shape))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shape_and_elements_must_fit() {
        let error = Tensor::new([2, 3], vec![1.0_f32; 5]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "shape [2,3] holds 6 elements, but 5 were given; change the shape or the elements"
        );
        assert!(Tensor::new([usize::MAX, 2], vec![0_u8]).is_err());
        assert_eq!(Tensor::scalar(1_i64).len(), 1);
        assert_eq!(
            Tensor::vector(vec![1_u8]).values::<f32>().unwrap_err().to_string(),
            "the tensor holds u8, not f32; read it with `values::<u8>()`"
        );
    }

    #[test]
    fn a_clone_shares_and_a_reshape_too() {
        let tensor = Tensor::new([4], vec![1_i32, 2, 3, 4]).unwrap();
        let square = tensor.reshape([2, 2]).unwrap();
        assert_eq!(square.values::<i32>().unwrap().as_ptr(), tensor.values::<i32>().unwrap().as_ptr());
    }

    #[test]
    fn it_is_a_value_that_can_be_stored_and_a_wrong_one_is_refused() {
        let tensor = Tensor::new([1, 2], vec![0.5_f32, 1.5]).unwrap();
        let json = serde_json::to_string(&tensor).unwrap();
        assert_eq!(json, r#"{"shape":[1,2],"data":{"f32":[0.5,1.5]}}"#);
        assert_eq!(serde_json::from_str::<Tensor>(&json).unwrap(), tensor);
        let error = serde_json::from_str::<Tensor>(r#"{"shape":[3],"data":{"u8":[1]}}"#).unwrap_err();
        assert!(error.to_string().contains("shape [3] holds 3 elements, but 1 were given"));
    }

    #[test]
    fn a_specification_reads_like_a_type() {
        let shape = vec![Dim::Dynamic("N".into()), Dim::Fixed(1), Dim::Fixed(8), Dim::Dynamic(String::new())];
        let spec = TensorSpec { name: "picture".into(), dtype: DType::F32, shape };
        assert_eq!(spec.to_string(), "`picture` f32[N,1,8,?]");
        assert!(spec.takes(&[1, 8, 5]) && !spec.takes(&[1, 8]) && !spec.takes(&[2, 8, 5]));
    }
}
