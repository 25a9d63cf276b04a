//! File systems in files, and copies of them as a power cut would leave them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::ioctl_ficlone;

use crate::child::Shell;
use crate::mount::{Mount, is_root};

/// A file system that can be made in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are known by their names")]
pub enum FileSystem {
    Ext4,
    Xfs,
    Btrfs,
}

impl FileSystem {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ext4, Self::Xfs, Self::Btrfs];

    /// What it is called everywhere.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
        }
    }

    /// Makes one of so many bytes in a new file, which takes room only as it is written.
    ///
    /// # Errors
    /// Why it cannot be made here.
    pub fn make(self, image: &Path, bytes: u64) -> Result<(), String> {
        File::create_new(image).and_then(|file| file.set_len(bytes)).map_err(|e| e.to_string())?;
        let program = format!("mkfs.{}", self.name());
        let mut command = Command::new(&program);
        match self {
            // No room is kept for root, who is the one who fills it.
            Self::Ext4 => command.args(["-q", "-m", "0"]),
            Self::Xfs | Self::Btrfs => command.arg("-q"),
        };
        let output = command.arg(image).stdin(Stdio::null()).output();
        let output = output.map_err(|error| format!("{program} cannot be run: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()))
    }

    /// Mounts an image of it. No other one with the same identity may be mounted.
    ///
    /// # Errors
    /// Why it cannot be mounted here.
    pub fn mount(self, image: &Path, at: &Path) -> Result<Mount, String> {
        if self == Self::Btrfs {
            // It remembers a copy by its identity, and takes an older one for stale.
            let mut forget = Command::new("btrfs");
            let _ = forget.args(["device", "scan", "--forget"]).stderr(Stdio::null()).status();
        }
        Mount::image(image, at)
    }
}

/// Where images lie that can be copied while they are written to.
#[derive(Debug)]
pub struct Backing {
    /// The folder of the images.
    pub folder: PathBuf,
    shares_extents: bool,
    /// A file system of its own, where the one of the folder cannot share extents.
    _mount: Option<Mount>,
}

impl Backing {
    /// In this folder, with the best way to copy that there is.
    ///
    /// # Errors
    /// Why there can be no images at all.
    pub fn new(folder: &Path) -> Result<Self, String> {
        if !is_root() {
            return Err("mounting needs root".to_owned());
        }
        if can_share_extents(folder) {
            return Ok(Self { folder: folder.to_owned(), shares_extents: true, _mount: None });
        }
        let at = folder.join("backing");
        fs::create_dir(&at).map_err(|error| error.to_string())?;
        for kind in [FileSystem::Xfs, FileSystem::Btrfs] {
            let image = folder.join(format!("backing.{}", kind.name()));
            let mount = kind.make(&image, 8 << 30).and_then(|()| kind.mount(&image, &at));
            if let Ok(mount) = mount
                && can_share_extents(&at)
            {
                return Ok(Self { folder: at, shares_extents: true, _mount: Some(mount) });
            }
        }
        Self::plain(folder)
    }

    /// In this folder, with copies that are read and written.
    ///
    /// # Errors
    /// Why there can be no images at all.
    pub fn plain(folder: &Path) -> Result<Self, String> {
        Ok(Self { folder: folder.to_owned(), shares_extents: false, _mount: None })
    }

    /// How images are copied, for people.
    #[must_use]
    pub fn how(&self) -> &'static str {
        if self.shares_extents { "cloned under load" } else { "copied while the load stood still" }
    }

    /// Copies an image that is mounted, as it is at one moment: what a machine finds that lost its
    /// power then. What the file system in it had not written yet is not there.
    ///
    /// Sharing extents is one step: no write comes in between. A copy that is read and written
    /// takes time, so the load stands still meanwhile, and the copy counts only if the device saw no
    /// write from before its beginning to behind its end.
    pub fn cut(&self, image: &Path, mounted_at: &Path, load: &[Shell], copy: &Path) {
        if self.shares_extents {
            let (from, to) = (File::open(image), File::create_new(copy));
            return ioctl_ficlone(to.expect("a file"), from.expect("an image")).expect("a clone");
        }
        load.iter().for_each(Shell::stop);
        let device = device_at(mounted_at);
        crate::child::wait_until("the device rests while it is copied", || {
            let before = writes(&device);
            let paths = [image, copy];
            let copied = Command::new("cp").arg("--sparse=always").args(paths).status();
            assert!(copied.is_ok_and(|status| status.success()), "cp copies an image");
            before.is_some() && before == writes(&device)
        });
        load.iter().for_each(Shell::go_on);
    }
}

fn can_share_extents(folder: &Path) -> bool {
    let clone = || {
        let one = tempfile::NamedTempFile::new_in(folder)?;
        let two = tempfile::NamedTempFile::new_in(folder)?;
        fs::write(one.path(), [1; 4096])?;
        std::io::Result::Ok(ioctl_ficlone(two.as_file(), one.as_file())?)
    };
    clone().is_ok()
}

/// The block device that is mounted there, as the kernel calls it.
fn device_at(at: &Path) -> String {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("a list of mounts");
    let line = mounts.lines().find(|line| line.split(' ').nth(1) == at.to_str());
    let device =
        line.and_then(|line| line.split(' ').next()).and_then(|path| path.rsplit('/').next());
    device.expect("a device is mounted there").to_owned()
}

/// How many writes a device has done; none while some are under way.
fn writes(device: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/sys/block/{device}/stat")).expect("what it has done");
    let numbers: Vec<u64> = text.split_whitespace().filter_map(|n| n.parse().ok()).collect();
    (numbers[8] == 0).then_some(numbers[4])
}
