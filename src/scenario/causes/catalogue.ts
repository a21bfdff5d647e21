/** What each cause means, by its id; `rule/<id>` stands for the rules of docs/reference/errors.md. */
export const CAUSES: Readonly<Record<string, string>> = {
  'firmware-not-delivered':
    'The guest runs on other firmware than it was given. Nothing else is worth looking at before that.',
  'viommu-legacy':
    'A virtio-mmio vIOMMU of version 1; Linux drives virtio-iommu only with VIRTIO_F_VERSION_1.',
  'viommu-granule': "A granule above the guest's page size; Linux makes no domain for it.",
  'iommu-node-missing':
    'The tree has no node at the place of a vIOMMU. Linux crashes in viommu_probe_device when it is on PCI.',
  'iommu-node-place':
    "The vIOMMU's node names another slot or address than the device has; to Linux that is a node of nothing and a device without a node.",
  'iommu-node-disabled': 'The node of the vIOMMU has `status = "disabled"`; its endpoints bypass.',
  'iommu-behind-itself':
    'The map of the host bridge sends the vIOMMU to itself: it and all its endpoints wait until the deferred-probe timeout.',
  'viot-iommu-is-another-device':
    'VIOT says that a device which is no virtio-iommu is one: whatever is behind it waits for ever, and nothing is logged.',
  'viot-iommu-absent': 'VIOT names a virtio-iommu where no device is; its endpoints bypass.',
  'viot-form':
    'Lengths, counts or offsets of the table are wrong; nodes after the damage are lost.',
  'viot-gap': 'No node of the table has the endpoint; it bypasses without a word.',
  'viot-output': 'The node that has the endpoint leads to an offset where no IOMMU node starts.',
  'viot-shared-id': 'Two requesters are given one endpoint ID; their DMA is mixed up.',
  'viot-overlap': 'Two nodes have the endpoint and the wrong one wins: the last in the table.',
  'viot-wrong-iommu': 'The endpoint is put behind another vIOMMU than the one it is behind.',
  'viot-wrong-id': 'The endpoint ID is not the one that the vIOMMU knows the endpoint by.',
  'viot-covers-bypass': 'An endpoint that bypasses is inside a range of the table.',
  'tree-host-missing': 'No host bridge of the tree has the segment and bus of the endpoint.',
  'iommu-map-missing': 'The host bridge has no `iommu-map`, or the platform device no `iommus`.',
  'iommu-map-length':
    'The length of `iommu-map` is no multiple of a row; Linux throws all of it away.',
  'iommu-map-mask':
    '`iommu-map-mask` drops bits that rows or requester IDs have: Linux ends the search, or finds the row of another device.',
  'iommu-map-gap': 'No row of `iommu-map` has the endpoint; it bypasses.',
  'iommu-map-phandle': 'The row that has the endpoint names a phandle that no IOMMU has.',
  'iommu-map-shared-id': 'Two requesters are given one endpoint ID; their DMA is mixed up.',
  'iommu-map-overlap': 'Two rows have the endpoint and the wrong one wins: the first.',
  'iommu-map-wrong-iommu': 'The row leads to another vIOMMU than the one the endpoint is behind.',
  'iommu-map-wrong-id': 'The endpoint ID is not the one that the vIOMMU knows the endpoint by.',
  'iommu-map-covers-bypass': 'An endpoint that bypasses is inside a row.',
  'msi-map-missing': 'The host bridge has neither `msi-map` nor `msi-parent`; devices use INTx.',
  'msi-map-length': 'The length of `msi-map` is no multiple of a row.',
  'msi-map-gap': 'No row of `msi-map` has the endpoint; it falls back to INTx.',
  'msi-map-phandle': '`msi-map` or `msi-parent` names a phandle that no MSI controller has.',
  'msi-map-base': 'The DeviceID of the row is not the one that the ITS sees; interrupts are lost.',
  'msi-wrong-controller': "MSIs are sent to another controller than the topology's doorbell.",
  'doorbell-address': "The MSI controller's node has another address than the doorbell.",
  'reserved-regions-differ':
    "The guest's reserved regions are not the topology's: the device says others in PROBE, or the tree does.",
  'kernel-panic': 'The kernel panicked, and nothing in the firmware explains it.',
  'kernel-oops': 'The kernel crashed, and nothing in the firmware explains it.',
  'guest-silent': 'The guest never came to its init script.',
  'guest-stopped': 'The guest stopped in the middle of its checks.',
  'no-iommu-driver': 'No IOMMU was registered at all: the driver is missing or refused the device.',
  unexplained: 'None of the above. The first broken promise is repeated as it stands.',
};
