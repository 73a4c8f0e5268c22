#!/usr/bin/env bash
# Install, upgrade or remove the Backstay agent of this host. Safe to run again at any time: what is
# there is kept, and a configuration is never overwritten.
set -euo pipefail
umask 022

usage() {
  cat <<'TEXT'
usage: install.sh --wheel FILE [--python PROGRAM] [--no-start] [--root DIR] [--dry-run]
       install.sh --uninstall [--purge] [--root DIR] [--dry-run]

  --wheel FILE      install this backstay-*.whl; a newer one upgrades, an older one goes back
  --python PROGRAM  make the virtual environment with this Python, 3.11 or newer (python3)
  --no-start        neither enable nor (re)start the service
  --uninstall       remove the program, the unit and its start; the configuration stays
  --purge           with --uninstall: also the configuration and the user
  --root DIR        work under DIR instead of /, and leave systemd alone; for trials
  --dry-run         say what would be done
TEXT
}

fail() {
  printf 'install.sh: %s\n' "$1" >&2
  exit 1
}

say() { printf '%s\n' "$1"; }

# Everything that changes the host goes through here.
run() {
  if [[ $dry_run == yes ]]; then
    printf 'would run:'
    printf ' %q' "$@"
    printf '\n'
  else
    "$@"
  fi
}

wheel='' python=python3 root='' start=yes restart=no uninstall=no purge=no dry_run=no
while (($#)); do
  case $1 in
    --wheel | --python | --root)
      (($# > 1)) || fail "$1 needs a value"
      case $1 in
        --wheel) wheel=$2 ;;
        --python) python=$2 ;;
        --root) root=${2%/} ;;
      esac
      shift
      ;;
    --no-start) start=no ;;
    --uninstall) uninstall=yes ;;
    --purge) purge=yes ;;
    --dry-run) dry_run=yes ;;
    -h | --help) usage && exit 0 ;;
    *) usage >&2 && fail "$1 is not known" ;;
  esac
  shift
done

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
program=$root/opt/backstay
settings=$root/etc/backstay
unit=$root/etc/systemd/system/backstay.service
sysusers=$root/usr/lib/sysusers.d/backstay.conf
command=$root/usr/local/bin/backstay

[[ -n $root || $dry_run == yes || $EUID == 0 ]] || fail "run it as root, or with --dry-run"

# Under another root, and in a container without systemd, there is nothing to talk to.
has_systemd() { [[ -z $root && -d /run/systemd/system ]]; }

# The group's number, of the host that is installed to.
group_id() { awk -F: '$1 == "backstay" { print $3 }' "$root/etc/group" 2>/dev/null || true; }

make_program() {
  local target=$1
  if [[ -e $target/.complete ]]; then
    say "kept: $target"
    return
  fi
  # A run that was interrupted left a part.
  run rm -rf "$target"
  run "$python" -m venv "$target"
  local constraint=()
  if [[ -e $here/../../requirements.lock ]]; then
    constraint=(--constraint "$here/../../requirements.lock")
  fi
  run "$target/bin/python" -m pip install --quiet --disable-pip-version-check \
    "${constraint[@]}" "$wheel"
  # What does not start must not take the place of what does.
  run "$target/bin/backstay" --version
  run touch "$target/.complete"
  say "made: $target"
}

# The link is renamed over the old one, so that there is a program at every moment.
switch_to() {
  local name=$1 old
  old=$(readlink "$program/current" || true)
  if [[ $old == "$name" ]]; then
    return
  fi
  # Stays until the service runs this one, also if this run is interrupted.
  run touch "$program/$name/.restart"
  run ln -sfn "$name" "$program/current.new"
  run mv -T "$program/current.new" "$program/current"
  say "current: $name${old:+, before: $old}"
  local each
  for each in "$program"/*/pyvenv.cfg; do
    each=$(basename "$(dirname "$each")")
    case $each in
      "$name" | "$old" | current | '*') ;;
      *) run rm -rf "${program:?}/$each" ;;
    esac
  done
}

make_user() {
  run install -D -m 0644 "$here/backstay.sysusers" "$sysusers"
  run mkdir -p "$root/etc"
  if [[ $dry_run == no && -n $root ]] && { [[ $EUID != 0 ]] || ! command -v systemd-sysusers >/dev/null; }; then
    say "left out: the user, which needs root and systemd-sysusers"
  else
    run systemd-sysusers --root="$root/" "$(basename "$sysusers")"
  fi
}

make_settings() {
  local group=() number
  number=$(group_id)
  if [[ $EUID == 0 && -n $number ]]; then
    group=(-g "$number")
  fi
  # What is written there later has the group of the agent, which may read and nothing else.
  run install -d -m 2750 "${group[@]}" "$settings"
  run install -m 0640 "${group[@]}" "$here/../../config.example.yaml" "$settings/config.example.yaml"
  if [[ -e $settings/config.yaml ]]; then
    say "kept: $settings/config.yaml"
  else
    run install -m 0640 "${group[@]}" "$here/../../config.example.yaml" "$settings/config.yaml"
    say "made: $settings/config.yaml: edit it before the start"
    start=later
  fi
  if [[ ! -e $settings/environment ]]; then
    run install -m 0600 "$here/environment.example" "$settings/environment"
  fi
}

start_service() {
  cmp --silent "$here/backstay.service" "$unit" || restart=yes
  run install -D -m 0644 "$here/backstay.service" "$unit"
  has_systemd || return 0
  run systemctl daemon-reload
  [[ $start != no ]] || return 0
  run systemctl enable --quiet backstay.service
  if [[ $start == later ]]; then
    say "then: systemctl start backstay"
    return
  fi
  # Without waiting: an agent whose mongod is down counts as starting for ten minutes.
  if [[ $restart == yes || -e $program/current/.restart ]]; then
    run systemctl restart --no-block backstay.service
    run rm -f "$program/current/.restart"
  else
    run systemctl start --no-block backstay.service
  fi
  say "started: journalctl -u backstay -f"
}

install_all() {
  local name
  [[ -f $wheel ]] || fail "--wheel must name the file backstay-VERSION-py3-none-any.whl"
  name=$(basename "$wheel")
  [[ $name =~ ^backstay-([0-9][0-9A-Za-z.+!]*)-py3-none-any\.whl$ ]] || fail "$name is no wheel of Backstay"
  # Two builds of one version are two programs.
  name=${BASH_REMATCH[1]}-$(sha256sum "$wheel" | cut -c 1-8)
  "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    fail "$python is not Python 3.11 or newer with its module venv; name one with --python"
  [[ ! -e $program/pyvenv.cfg ]] ||
    fail "$program is a virtual environment that was made by hand; move it away and run this again"
  [[ ! -e $program/current || -L $program/current ]] || fail "$program/current is not a link"

  run mkdir -p "$program"
  make_program "$program/$name"
  make_user
  make_settings
  switch_to "$name"
  if [[ -L $command || ! -e $command ]]; then
    run mkdir -p "$(dirname "$command")"
    run ln -sfn "$program/current/bin/backstay" "$command"
  fi
  start_service
}

remove_all() {
  if has_systemd; then
    run systemctl disable --quiet --now backstay.service || true
  fi
  run rm -f "$unit" "$sysusers"
  if [[ -L $command ]]; then
    run rm -f "$command"
  fi
  run rm -rf "$program"
  if [[ $purge == yes ]]; then
    run rm -rf "$settings" "$unit.d"
    if [[ -z $root ]] && getent passwd backstay >/dev/null; then
      run userdel backstay
    fi
  else
    say "kept: $settings, and the user; --purge removes them"
  fi
  if has_systemd; then
    run systemctl daemon-reload
  fi
  say "The bucket, the control database and the user in MongoDB were not touched."
}

if [[ $uninstall == yes ]]; then
  [[ -z $wheel ]] || fail "--uninstall and --wheel exclude each other"
  remove_all
else
  [[ $purge == no ]] || fail "--purge goes with --uninstall"
  install_all
fi
