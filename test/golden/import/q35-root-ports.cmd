# QEMU 7.2.22, Linux 6.12.95: boot.sh of topologies/q35-root-ports.yaml with an init that prints, as
# hexadecimal, the first 64 bytes of each /sys/bus/pci/devices/*/config and of VIOT and MCFG in
# /sys/firmware/acpi/tables.
viommu-topo build topologies/q35-root-ports.yaml -o out && out/boot.sh KERNEL INITRD
