//! An emulated ARM machine. Its network leads to one port of this machine's loopback, its console
//! into a file, one more port to a root shell.

use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    net::{Ipv4Addr, Shutdown, TcpStream},
    os::{fd::AsFd, unix::net::UnixStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::disk::{self, Media};
use crate::{root::Root, system::System};

/// Where the machine sees the cloud.
pub(super) const CLOUD: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 100);
/// A command may take this long, starting with the boot.
const COMMAND_TIME_MAX: Duration = Duration::from_secs(300);
/// The machine's clock counts instructions, 4 ns each (2 to the power of this): about what a Cortex-A7
/// at 500 MHz gets done, and the same however busy the host is.
const CLOCK: &str = "shift=2";
/// The emulator may take this long to listen.
const START_TIME_MAX: Duration = Duration::from_secs(20);
/// Of the console, so much is shown after a failure.
const CONSOLE_LINES: usize = 40;
/// Begins the line that ends an answer.
const END: char = '\u{1e}';

/// A machine with a disk.
pub(crate) struct Emulated {
    folder: TempDir,
    media: Media,
    cloud_port: u16,
    running: Option<Running>,
}

struct Running {
    emulator: Child,
    shell: BufReader<UnixStream>,
}

impl Emulated {
    /// A machine that is off, with a copy of that root file system. Of this machine it reaches that
    /// port.
    pub(super) fn new(root: &Root, cloud_port: u16) -> Result<Self> {
        let folder = TempDir::new()?;
        let media = disk::make(root, folder.path())?;
        Ok(Self { folder, media, cloud_port, running: None })
    }

    /// What the machine said last, for people who look for a fault.
    pub(super) fn console(&self) -> String {
        let said = fs::read(self.folder.path().join("console")).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let lines: Vec<_> = said.lines().collect();
        let last = lines.get(lines.len().saturating_sub(CONSOLE_LINES)..).unwrap_or_default();
        format!("the machine's console ended with:\n{}", last.join("\n"))
    }

    fn command(&self) -> Result<Command> {
        let program = std::env::current_exe()?;
        let (forward, port) = (program.display(), self.cloud_port);
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let mut command = Command::new("nice");
        command.args(["-n", "5", "qemu-system-arm", "-nodefaults", "-no-user-config"]);
        // A machine that restarts ends the emulator: what boots next is decided again.
        command.args(["-display", "none", "-no-reboot"]);
        command.args(["-machine", "virt", "-cpu", "cortex-a15", "-smp", "1", "-m", "512"]);
        command.args(["-icount", CLOCK]);
        let Media { kernel, initramfs, disk } = &self.media;
        command.arg("-kernel").arg(kernel).arg("-initrd").arg(initramfs);
        command.args(["-append", "console=ttyAMA0 quiet panic=-1 net.ifnames=0"]);
        command.arg("-serial").arg(format!("file:{}", path("console")));
        let disk = format!("if=none,id=disk,format=raw,file={}", disk.display());
        command.arg("-drive").arg(disk);
        command.args(["-device", "virtio-blk-device,drive=disk", "-device", "virtio-rng-device"]);
        command.arg("-netdev").arg(format!(
            "user,id=net,restrict=on,guestfwd=tcp:{CLOUD}:{port}-cmd:{forward} forward {port}"
        ));
        command.args([
            "-device",
            "virtio-net-device,netdev=net",
            "-device",
            "virtio-serial-device",
        ]);
        command.arg("-chardev");
        command.arg(format!("socket,id=shell,server=on,wait=off,path={}", path("shell")));
        command.args(["-device", "virtserialport,chardev=shell,name=commands"]);
        Ok(command)
    }
}

impl System for Emulated {
    fn boot(&mut self) -> Result<()> {
        let socket = self.folder.path().join("shell");
        let _ = fs::remove_file(&socket);
        let mut command = self.command()?;
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let emulator = command.spawn().context("qemu-system-arm")?;
        let shell = connect(&socket)?;
        shell.set_read_timeout(Some(COMMAND_TIME_MAX))?;
        self.running = Some(Running { emulator, shell: BufReader::new(shell) });
        Ok(())
    }

    /// What the machine had handed to the disk stays, what it still held is gone.
    fn cut_power(&mut self) -> Result<()> {
        let Some(mut running) = self.running.take() else { return Ok(()) };
        running.emulator.kill()?;
        running.emulator.wait()?;
        Ok(())
    }

    async fn shut_down(&mut self, patience: Duration) -> Result<()> {
        let running = self.running.as_mut().context("the machine is off")?;
        let ended = async {
            while running.emulator.try_wait()?.is_none() {
                sleep(Duration::from_millis(50)).await;
            }
            Ok::<_, anyhow::Error>(())
        };
        timeout(patience, ended).await.context("the machine did not shut down")??;
        self.running = None;
        Ok(())
    }

    fn shell(&mut self, command: &str) -> Result<String> {
        let running = self.running.as_mut().context("the machine is off")?;
        ensure!(!command.contains('\n'), "one line: {command}");
        writeln!(running.shell.get_mut(), "{command}")?;
        let mut answer = String::new();
        loop {
            let mut line = String::new();
            let read = running.shell.read_line(&mut line);
            ensure!(
                read.with_context(|| format!("no answer to: {command}"))? > 0,
                "the shell ended"
            );
            match line.strip_prefix(END).map(str::trim_end) {
                None => answer.push_str(&line),
                Some("0") => return Ok(answer),
                Some(status) => bail!("{command}: status {status}: {answer}"),
            }
        }
    }
}

impl Drop for Emulated {
    fn drop(&mut self) {
        let _ = self.cut_power();
    }
}

fn connect(socket: &Path) -> Result<UnixStream> {
    let began = Instant::now();
    loop {
        match UnixStream::connect(socket) {
            Err(_) if began.elapsed() < START_TIME_MAX => {
                thread::sleep(Duration::from_millis(20));
            }
            connected => return connected.context("the emulator does not listen"),
        }
    }
}

/// What the emulator starts for each connection of the machine: leads its standard input and output
/// to a port of this machine's loopback.
pub(crate) fn forward(port: u16) -> Result<()> {
    let mut cloud = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    let mut answers = cloud.try_clone()?;
    thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut cloud);
        let _ = cloud.shutdown(Shutdown::Write);
    });
    // Not io::stdout(), which keeps what has no end of line.
    let mut machine = fs::File::from(io::stdout().as_fd().try_clone_to_owned()?);
    io::copy(&mut answers, &mut machine)?;
    Ok(())
}
