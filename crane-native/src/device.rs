//! Which device computes: the choice as a user spells it, and what this build and machine have.

use std::fmt;
use std::str::FromStr;

use candle_core::Device;

use crate::{Error, Result};

/// The device that the user asked for: `auto`, `cpu`, `metal`, `cuda` or `cuda:1`.
///
/// ```
/// use crane_native::device::DeviceChoice;
///
/// assert_eq!("cuda:1".parse::<DeviceChoice>().ok(), Some(DeviceChoice::Cuda(1)));
/// assert_eq!(DeviceChoice::default().to_string(), "auto");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum DeviceChoice {
    /// The best device that this build has and this machine offers.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// The Apple GPU.
    Metal,
    /// The NVIDIA GPU of this number, counted from zero.
    Cuda(usize),
}

impl FromStr for DeviceChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, number) = match text.split_once(':') {
            Some((name, number)) => (name, Some(number)),
            None => (text, None),
        };
        match (name, number.map(str::parse::<usize>)) {
            ("auto", None) => Ok(Self::Auto),
            ("cpu", None) => Ok(Self::Cpu),
            ("metal", None) => Ok(Self::Metal),
            ("cuda", None) => Ok(Self::Cuda(0)),
            ("cuda", Some(Ok(number))) => Ok(Self::Cuda(number)),
            _ => Err(Error::Usage(format!(
                "--device: {text:?} is not a device; use auto, cpu, metal, cuda or cuda:N"
            ))),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Metal => f.write_str("metal"),
            Self::Cuda(0) => f.write_str("cuda"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

/// Opens the chosen device.
///
/// # Errors
/// [`Error::Device`] if the build lacks it (naming the cargo feature) or the machine does.
pub fn open(choice: DeviceChoice) -> Result<Device> {
    match choice {
        DeviceChoice::Cpu => Ok(Device::Cpu),
        DeviceChoice::Metal => open_gpu(choice, cfg!(feature = "metal"), || Device::new_metal(0)),
        DeviceChoice::Cuda(number) => {
            open_gpu(choice, cfg!(feature = "cuda"), || Device::new_cuda(number))
        }
        DeviceChoice::Auto => {
            let gpus = [DeviceChoice::Metal, DeviceChoice::Cuda(0)];
            Ok(gpus.into_iter().find_map(|gpu| open(gpu).ok()).unwrap_or(Device::Cpu))
        }
    }
}

fn open_gpu(
    choice: DeviceChoice,
    built: bool,
    open: impl FnOnce() -> candle_core::Result<Device>,
) -> Result<Device> {
    let feature = if choice == DeviceChoice::Metal { "metal" } else { "cuda" };
    let reason = if built {
        match open() {
            Ok(device) => return Ok(device),
            Err(error) => format!("this machine does not offer it: {error}; use --device cpu"),
        }
    } else {
        format!(
            "this build does not have it; build with `cargo build --release --features {feature}`, \
             or use --device cpu"
        )
    };
    Err(Error::Device { device: choice.to_string(), reason })
}

/// The device back ends and matrix libraries that were compiled in, by their cargo feature names.
pub fn built_with() -> Vec<&'static str> {
    [
        ("cpu", true),
        ("metal", cfg!(feature = "metal")),
        ("cuda", cfg!(feature = "cuda")),
        ("cudnn", cfg!(feature = "cudnn")),
        ("accelerate", cfg!(feature = "accelerate")),
        ("mkl", cfg!(feature = "mkl")),
    ]
    .into_iter()
    .filter_map(|(name, built)| built.then_some(name))
    .collect()
}

/// One device that was looked for on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// The device, as `--device` spells it.
    pub choice: DeviceChoice,
    /// Why it cannot be used, or nothing if it can.
    pub problem: Option<String>,
}

/// Tries each kind of device, for `crane doctor`: the CPU always, each GPU with the reason why not.
pub fn found() -> Vec<Found> {
    [DeviceChoice::Cpu, DeviceChoice::Metal, DeviceChoice::Cuda(0)]
        .into_iter()
        .map(|choice| Found {
            choice,
            problem: open(choice).err().map(|error| match error {
                Error::Device { reason, .. } => reason,
                other => other.to_string(),
            }),
        })
        .collect()
}

/// The instruction sets of this processor that matter to the kernels, of those it has.
pub fn instruction_sets() -> Vec<&'static str> {
    let mut sets = Vec::new();
    macro_rules! look_for {
        ($detect:ident: $($name:tt),*) => { $(if std::arch::$detect!($name) { sets.push($name); })* };
    }
    #[cfg(target_arch = "x86_64")]
    look_for!(is_x86_feature_detected: "avx", "fma", "f16c", "avx2", "avxvnni", "avx512f", "avx512bw", "avx512vnni", "avx512bf16");
    #[cfg(target_arch = "aarch64")]
    look_for!(is_aarch64_feature_detected: "neon", "fp16", "dotprod", "i8mm", "bf16", "sve");
    sets.shrink_to_fit();
    sets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_parse_and_print_alike() {
        for text in ["auto", "cpu", "metal", "cuda", "cuda:3"] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), text);
        }
        for text in ["", "gpu", "cuda:", "cuda:x", "cpu:1", "CPU"] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap_err().exit_code(), 2, "{text}");
        }
    }

    #[test]
    fn the_processor_is_always_there() {
        assert!(matches!(open(DeviceChoice::Cpu), Ok(Device::Cpu)));
        assert!(open(DeviceChoice::Auto).is_ok());
        assert!(built_with().contains(&"cpu"));
        assert_eq!(found().first().and_then(|cpu| cpu.problem.clone()), None);
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_device_that_was_not_built_names_its_feature() {
        let message = open(DeviceChoice::Cuda(0)).unwrap_err().to_string();
        assert!(message.contains("--features cuda"), "{message}");
    }
}
