/**
 * The check `shell`. Without kernel messages in between; with its own session, so that Ctrl-C reaches
 * what runs in it; without the descriptors of the report and the plan.
 */
const SCRIPT = `check_shell() {
  rows=24 columns=80
  for pair; do
    case $pair in rows=*) rows=\${pair#*=} ;; columns=*) columns=\${pair#*=} ;; esac
  done
  read -r level rest </proc/sys/kernel/printk
  echo 4 >/proc/sys/kernel/printk
  /bin/busybox --install -s /bin
  say shell state=begin
  stty -F /dev/ttyAMA0 sane rows $rows cols $columns
  HOME=/ TERM=vt220 setsid -c sh -i </dev/ttyAMA0 >/dev/ttyAMA0 2>&1 3>&- 5<&-
  say shell state=end
  echo "$level" >/proc/sys/kernel/printk
}
`;

/** Files that the verb \`shell\` of a plan needs in the initramfs of an arm64 guest. */
export const SHELL_FILES: ReadonlyMap<string, { readonly data: Uint8Array }> = new Map([
  ['/viommu/checks/shell.sh', { data: Buffer.from(SCRIPT) }],
]);
