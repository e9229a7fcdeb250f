//! Files from templates: `--template`, `--file`.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::fcntl::OFlag;

use super::FileName;
use crate::sources::volume::{DATA, settled};
use crate::system::root::Directory;
use crate::variables::Run;
use crate::variables::value::template::{Stays, Template, Unknown};

/// The largest template, in bytes.
const TEMPLATE_LIMIT: usize = 1 << 20;
/// The largest size of all templates together, and of all files that are made from them, in bytes.
pub(crate) const TOTAL_LIMIT: usize = 8 << 20;

/// A template for a file.
#[derive(Clone, Debug)]
pub(crate) struct FileTemplate {
    /// The name of the template, for messages.
    name: String,
    origin: Origin,
    /// The file to write; none if the result is printed.
    target: Option<FileName>,
    pub(crate) template: Rc<Template>,
}

/// Where the text of a template comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Origin {
    /// An option. The kubelet may have expanded a secret in it, so no message contains a part of it.
    Option,
    File,
    /// A file of a directory. The directory for the results is created.
    Directory,
}

/// A file cannot be made from a template.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TemplateError {
    #[error("--template {file}: {source}")]
    Unreadable { file: String, source: io::Error },
    #[error("--template {file} has more than 1 MiB, or all templates have more than 8 MiB")]
    TooLarge { file: String },
    #[error("--template {file} would be written over itself")]
    Itself { file: String },
    #[error("{file} would be written twice: --out, --template and --file must name different files")]
    Twice { file: String },
    #[error("{file} is not written: the name of the container is not known; add --container NAME")]
    NoContainer { file: String },
    #[error("{file}, line {line}: {problem}")]
    Malformed { file: String, line: usize, problem: String },
    #[error("{file}, line {line}: {reference}: {why}")]
    Unknown { file: String, line: usize, reference: String, why: String },
    #[error("{file}: the files from templates have more than 8 MiB together")]
    TooLong { file: String },
}

impl TemplateError {
    /// Whether the usage is wrong, whatever the pod knows.
    pub(crate) fn is_of_usage(&self) -> bool {
        use TemplateError::{Itself, Malformed, TooLarge, Twice};
        matches!(self, TooLarge { .. } | Itself { .. } | Twice { .. } | Malformed { .. })
    }
}

/// The templates of `--template` (pairs of IN and OUT) and of `--file`, as they are now.
///
/// # Errors
/// A template cannot be read, or is not valid; a file would be written twice, also with `others`.
pub(crate) fn load<'a>(
    pairs: &[(PathBuf, Option<FileName>)],
    texts: &[FileTemplate],
    others: impl Iterator<Item = &'a FileName>,
) -> Result<Vec<FileTemplate>, TemplateError> {
    let mut templates = Vec::new();
    for (input, output) in pairs {
        templates.extend(FileTemplate::read(input, output.as_ref())?);
    }
    templates.extend(texts.iter().cloned());
    let mut left = TOTAL_LIMIT;
    let mut seen = BTreeSet::new();
    // Without `.` and repeated slashes.
    let path = |target: &FileName| target.as_path().components().collect::<PathBuf>();
    seen.extend(others.map(path));
    for template in &templates {
        let file = || template.name.clone();
        left = left
            .checked_sub(template.template.text().len())
            .ok_or_else(|| TemplateError::TooLarge { file: file() })?;
        if let Some(target) = template.target.as_ref().filter(|target| !seen.insert(path(target))) {
            return Err(TemplateError::Twice { file: target.display().to_string() });
        }
    }
    Ok(templates)
}

impl FileTemplate {
    /// The name of the template.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The template of `--file OUT=TEXT`. The file ends in a newline.
    pub(crate) fn of_text(target: FileName, text: &str) -> Result<Self, TemplateError> {
        let end = if text.ends_with('\n') { "" } else { "\n" };
        let name = format!("--file {}", target.display());
        FileTemplate::new(name, Origin::Option, Some(target), format!("{text}{end}").into_bytes())
    }

    fn new(
        name: String,
        origin: Origin,
        target: Option<FileName>,
        text: Vec<u8>,
    ) -> Result<Self, TemplateError> {
        let (template, errors) = Template::parse(text);
        let Some(error) = errors.into_iter().next() else {
            return Ok(FileTemplate { name, origin, target, template: Rc::new(template) });
        };
        let line = 1 + memchr::memchr_iter(b'\n', &template.text()[..error.offset]).count();
        Err(TemplateError::Malformed { file: name, line, problem: error.problem.to_string() })
    }

    /// The templates of `--template IN:OUT`: the file IN, or each file in the directory IN. In a volume, all are of one
    /// version.
    ///
    /// # Errors
    /// A template cannot be read, or is not valid.
    fn read(input: &Path, output: Option<&FileName>) -> Result<Vec<Self>, TemplateError> {
        let path = std::path::absolute(input).unwrap_or_else(|_| input.to_owned());
        let volume = path.ancestors().find(|above| above.join(DATA).is_symlink());
        match volume.and_then(|volume| Directory::open(volume).ok()) {
            Some(volume) => settled(&volume, || FileTemplate::read_once(input, output))
                .map_err(|source| TemplateError::Unreadable { file: input.display().to_string(), source })?,
            None => FileTemplate::read_once(input, output),
        }
    }

    fn read_once(input: &Path, output: Option<&FileName>) -> Result<Vec<Self>, TemplateError> {
        let failed = |source| TemplateError::Unreadable { file: input.display().to_string(), source };
        if !fs::metadata(input).map_err(failed)?.is_dir() {
            return Ok(vec![FileTemplate::of_file(input, input, Origin::File, output.cloned())?]);
        }
        // Not by the volume's own links: they lead to another version after a swap.
        let directory = fs::canonicalize(input.join(DATA)).unwrap_or_else(|_| input.to_owned());
        let entries =
            fs::read_dir(&directory).map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)?;
        let mut names: Vec<_> = entries.iter().map(fs::DirEntry::file_name).collect();
        names.retain(|name| !name.as_encoded_bytes().starts_with(b".") && !directory.join(name).is_dir());
        names.sort_unstable();
        let of_file = |name: &OsString| {
            let target = output.map(|output| output.join(name));
            FileTemplate::of_file(&directory.join(name), &input.join(name), Origin::Directory, target)
        };
        names.iter().map(of_file).collect()
    }

    /// The template at `path`, which its author knows as `name`.
    fn of_file(
        path: &Path,
        name: &Path,
        origin: Origin,
        target: Option<FileName>,
    ) -> Result<Self, TemplateError> {
        let name = name.display().to_string();
        let existing = target.as_ref().and_then(|target| fs::canonicalize(target.as_path()).ok());
        if existing.is_some_and(|target| fs::canonicalize(path).is_ok_and(|path| path == target)) {
            return Err(TemplateError::Itself { file: name });
        }
        match read(path) {
            Ok(text) if text.len() > TEMPLATE_LIMIT => Err(TemplateError::TooLarge { file: name }),
            Ok(text) => FileTemplate::new(name, origin, target, text),
            Err(source) => Err(TemplateError::Unreadable { file: name, source }),
        }
    }

    /// Whether the file's directory is created if it does not exist.
    pub(crate) fn creates_directory(&self) -> bool {
        self.origin == Origin::Directory
    }

    /// The file to write; none if the result is printed.
    pub(crate) fn target(&self) -> Option<&FileName> {
        self.target.as_ref()
    }

    /// The file to write for this container.
    ///
    /// # Errors
    /// The container's name is needed and is not known.
    pub(crate) fn path_for(&self, container: Option<&str>) -> Result<PathBuf, TemplateError> {
        let target = self.target.as_ref();
        let path = target.and_then(|target| target.path_for(container));
        path.ok_or_else(|| TemplateError::NoContainer {
            file: target.map_or(String::new(), |it| it.display().to_string()),
        })
    }

    /// The content of the file, which may have `limit` bytes, and whether something private is in it.
    ///
    /// # Errors
    /// Each reference that is not known, and why.
    pub(crate) fn render(
        &self,
        run: &Run,
        stays: Stays,
        limit: usize,
    ) -> Result<(Vec<u8>, bool), Vec<TemplateError>> {
        let lookup = run.lookup();
        let file = || self.name.clone();
        let Some(rendered) = self.template.render(&lookup, stays, limit, &mut Vec::new()) else {
            return Err(vec![TemplateError::TooLong { file: file() }]);
        };
        let error = |unknown: &Unknown| TemplateError::Unknown {
            file: file(),
            line: unknown.line,
            reference: if self.origin == Origin::Option { "a reference" } else { unknown.text }.to_owned(),
            why: run.reasons(&unknown.why),
        };
        let errors: Vec<_> = rendered.unknown.iter().map(error).collect();
        if errors.is_empty() { Ok((rendered.text, rendered.is_private)) } else { Err(errors) }
    }
}

/// The content of a regular file, up to one byte more than a template may have.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    // It does not wait for the other end of a FIFO.
    let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "this is not a regular file"));
    }
    let mut text = Vec::new();
    file.take(TEMPLATE_LIMIT as u64 + 1).read_to_end(&mut text)?;
    Ok(text)
}
