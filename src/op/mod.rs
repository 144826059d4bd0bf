//! Methods: what an update does to a weight. Every method is a file here and a line of [`METHODS`]; its file also says how PEFT spells it,
//! where it has a `peft_type` of its own.
//!
//! An update is planned as an [`Op`]: which tensors of the adapter it reads, and the numbers of its configuration, the same record for all
//! methods. Before the first block its operands are read and prepared; then it is applied to one tile of the weight after another.
mod activation;
mod adalora;
mod add_bias;
mod amplitude;
mod bd_lora;
mod beft;
mod boft;
mod c3a;
mod deft;
mod delora;
mod dense;
mod dora;
mod expert;
mod factored;
mod fourier;
mod fourierft;
mod glora;
mod gralora;
mod hira;
mod householder;
mod hra;
mod ia3;
mod inverse;
mod layer;
mod ln_tuning;
mod loha;
mod lokr;
mod low_rank;
mod matmul;
mod merged_linear;
mod method;
mod miss;
mod numbers;
mod oft;
mod olora;
mod orthogonal;
mod peanut;
pub(crate) mod peft;
mod pissa;
mod place;
mod planned;
mod projected;
mod randlora;
mod replace;
mod road;
mod rows;
mod scatter;
mod shira;
mod supertuning;
mod task_vector;
mod torch_random;
mod turn;
mod unilora;
mod unpacked;
mod vblora;
mod vera;
mod waveft;
mod wavelet;

pub use adalora::ADALORA;
pub(crate) use add_bias::add_bias;
pub(crate) use amplitude::AMPLITUDE;
pub(crate) use bd_lora::{Side, bd_lora};
pub use boft::BOFT;
pub use deft::DEFT;
pub use delora::DELORA;
pub use dora::DORA;
pub use expert::Packing;
pub use fourierft::FOURIERFT;
pub use glora::GLORA_BIAS;
pub use hira::HIRA;
pub use hra::HRA;
pub use ia3::IA3;
pub use layer::LayerShape;
pub use low_rank::LORA;
pub(crate) use merged_linear::merged_linear;
use method::{Apply, straight};
pub use method::{Fact, Footprint, Method};
pub(crate) use method::{Given, Inverse, Prepared};
pub use oft::OFT;
pub use olora::OLORA;
pub use pissa::PISSA;
pub(crate) use pissa::Rounds;
pub use place::RowOrder;
pub(crate) use place::{Place, Tile};
pub use planned::{Op, Scale, Sizes};
pub use replace::Replace;
pub(crate) use replace::replace;
pub use road::ROAD;
pub(crate) use rows::trained_rows;
pub use task_vector::TASK_VECTOR;
pub(crate) use task_vector::task_vector;
pub(crate) use unpacked::Unpacked;

/// Every method.
pub static METHODS: &[&Method] = &[
    &low_rank::LORA,
    &dora::DORA,
    &olora::OLORA,
    &pissa::PISSA,
    &bd_lora::BD_LORA,
    &merged_linear::MERGED_LINEAR,
    &add_bias::ADD_BIAS,
    &replace::REPLACE,
    &rows::ROWS,
    &loha::LOHA,
    &lokr::LOKR,
    &oft::OFT,
    &boft::BOFT,
    &hra::HRA,
    &road::ROAD,
    &ia3::IA3,
    &vera::VERA,
    &adalora::ADALORA,
    &randlora::RANDLORA,
    &vblora::VBLORA,
    &delora::DELORA,
    &gralora::GRALORA,
    &glora::GLORA,
    &glora::GLORA_BIAS,
    &c3a::C3A,
    &miss::MISS,
    &miss::BAT,
    &shira::SHIRA,
    &hira::HIRA,
    &supertuning::SUPERTUNING,
    &unilora::UNILORA,
    &fourierft::FOURIERFT,
    &waveft::WAVEFT,
    &deft::DEFT,
    &peanut::PEANUT,
    &task_vector::TASK_VECTOR,
    &amplitude::AMPLITUDE,
];
