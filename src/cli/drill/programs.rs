//! Programs that are not ours: where they are, and as whom they run. Nothing is installed.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, Stdio},
};

use super::error::DrillError;

/// Debian keeps PostgreSQL's programs by version, and off the PATH.
const POSTGRES_VERSIONS: &str = "/usr/lib/postgresql";

/// The full path of a program, or which package has it.
pub(super) fn find(program: &'static str, package: &'static str) -> Result<PathBuf, DrillError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Some need root mostly, and are kept where only root looks.
    let sbin = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    let on_path = std::env::split_paths(&path).chain(sbin);
    let found = newest_postgres().into_iter().chain(on_path);
    let mut found = found.map(|folder| folder.join(program));
    found
        .find(|path| path.is_file())
        .ok_or(DrillError::Missing { program, package })
}

fn newest_postgres() -> Option<PathBuf> {
    let versions = fs::read_dir(POSTGRES_VERSIONS).ok()?.flatten();
    let numbered = versions.filter_map(|version| {
        let number: u32 = version.file_name().to_str()?.parse().ok()?;
        Some((number, version.path().join("bin")))
    });
    Some(numbered.max_by_key(|(number, _)| *number)?.1)
}

/// The user and group that PostgreSQL is run as, which refuses to run as root; `None` for our own.
pub(super) fn unprivileged() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let of = |user: &str| Some((id("-u", user)?, id("-g", user)?));
    of("postgres").or_else(|| of("nobody"))
}

fn id(which: &str, user: &str) -> Option<u32> {
    let mut command = Command::new("id");
    let output = command.args([which, user]).stderr(Stdio::null()).output();
    String::from_utf8(output.ok()?.stdout)
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// A command that runs as whom PostgreSQL accepts.
pub(super) fn command_as(program: &PathBuf, user: Option<(u32, u32)>) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/").env("LC_ALL", "C");
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    command
}

/// A port of this machine that is free now; another may take it before it is used.
pub(super) fn free_port() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_missing_is_named_with_its_package() {
        assert!(find("sh", "dash").unwrap().is_file());
        let missing = find("no-such-program", "its-package").unwrap_err();
        let said = missing.to_string();
        assert!(
            said.contains("`no-such-program`, which is not installed"),
            "{said}"
        );
        assert!(said.contains("apt-get install its-package"), "{said}");
    }
}
