import type { Rule } from '../facts.ts';
import { bridgeAlias } from './bridge-alias.ts';
import { busesOverlap } from './buses-overlap.ts';
import { bypassBlocked } from './bypass-blocked.ts';
import { bypassedEndpointClaimed } from './bypassed-endpoint-claimed.ts';
import { cellCount } from './cell-count.ts';
import { directRegion } from './direct-region.ts';
import { dmaRangeDisjoint } from './dma-range-disjoint.ts';
import { domainRangeTooSmall } from './domain-range-too-small.ts';
import { doorbellNotReserved } from './doorbell-not-reserved.ts';
import { endpointBehindWrongViommu } from './endpoint-behind-wrong-viommu.ts';
import { endpointIdCollision } from './endpoint-id-collision.ts';
import { endpointIdTooLarge } from './endpoint-id-too-large.ts';
import { endpointIdWrong } from './endpoint-id-wrong.ts';
import { endpointNotCovered } from './endpoint-not-covered.ts';
import { firmwareDmaBlocked } from './firmware-dma-blocked.ts';
import { granuleTooLarge } from './granule-too-large.ts';
import { inputRangeTooSmall } from './input-range-too-small.ts';
import { iommuAddressesCells } from './iommu-addresses-cells.ts';
import { iommuBehindIommu } from './iommu-behind-iommu.ts';
import { iommuCells } from './iommu-cells.ts';
import { iommuCompatible } from './iommu-compatible.ts';
import { iommuDisabled } from './iommu-disabled.ts';
import { iommuMapMask } from './iommu-map-mask.ts';
import { iommuMapOverlap } from './iommu-map-overlap.ts';
import { iommuNodeName } from './iommu-node-name.ts';
import { iommuOnWrongBus } from './iommu-on-wrong-bus.ts';
import { iortDamaged } from './iort-damaged.ts';
import { iortHidesViot } from './iort-hides-viot.ts';
import { iortOverlap } from './iort-overlap.ts';
import { legacyMmio } from './legacy-mmio.ts';
import { mapOutsideBuses } from './map-outside-buses.ts';
import { mapRowEmpty } from './map-row-empty.ts';
import { msiCells } from './msi-cells.ts';
import { msiMapMissing } from './msi-map-missing.ts';
import { msiMapOffset } from './msi-map-offset.ts';
import { msiRegionMissesDoorbell } from './msi-region-misses-doorbell.ts';
import { noAccessPlatform } from './no-access-platform.ts';
import { pciDomain } from './pci-domain.ts';
import { pciIommuWithoutNode } from './pci-iommu-without-node.ts';
import { probeTooSmall } from './probe-too-small.ts';
import { rangeReversed } from './range-reversed.ts';
import { regionNotDescribable } from './region-not-describable.ts';
import { regionNotDirect } from './region-not-direct.ts';
import { regionOverRam } from './region-over-ram.ts';
import { regionOverlap } from './region-overlap.ts';
import { regionUnaligned } from './region-unaligned.ts';
import { regionWithoutBackLink } from './region-without-back-link.ts';
import { severalIommus } from './several-iommus.ts';
import { severalMsiRegions } from './several-msi-regions.ts';
import { treeAndViotDisagree } from './tree-and-viot-disagree.ts';
import { treeDamaged } from './tree-damaged.ts';
import { treeTooLarge } from './tree-too-large.ts';
import { unknownPhandle } from './unknown-phandle.ts';
import { viommuRefused } from './viommu-refused.ts';
import { viotDamaged } from './viot-damaged.ts';
import { viotEndpointWraps } from './viot-endpoint-wraps.ts';
import { viotIommuAbsent } from './viot-iommu-absent.ts';
import { viotOutputRule } from './viot-output.ts';
import { viotOutsideMcfg } from './viot-outside-mcfg.ts';
import { viotRangeOverlap } from './viot-range-overlap.ts';
import { viotTooLarge } from './viot-too-large.ts';
import { viotUnknownNode } from './viot-unknown-node.ts';
import { wrongTarget } from './wrong-target.ts';

/** Every rule, in the order of the catalogue of mistakes; its own discoveries beside their kin. */
export const rules: readonly Rule[] = [
  iommuMapOverlap,
  viotRangeOverlap,
  pciIommuWithoutNode,
  iommuBehindIommu,
  viotIommuAbsent,
  unknownPhandle,
  wrongTarget,
  cellCount,
  mapRowEmpty,
  iommuCells,
  msiCells,
  iommuMapMask,
  endpointIdCollision,
  endpointIdWrong,
  endpointIdTooLarge,
  viotEndpointWraps,
  endpointNotCovered,
  bypassBlocked,
  doorbellNotReserved,
  msiRegionMissesDoorbell,
  severalMsiRegions,
  probeTooSmall,
  msiMapMissing,
  msiMapOffset,
  granuleTooLarge,
  dmaRangeDisjoint,
  inputRangeTooSmall,
  domainRangeTooSmall,
  viommuRefused,
  directRegion,
  iommuAddressesCells,
  regionWithoutBackLink,
  regionNotDirect,
  regionNotDescribable,
  regionUnaligned,
  regionOverRam,
  regionOverlap,
  rangeReversed,
  busesOverlap,
  mapOutsideBuses,
  viotOutsideMcfg,
  bypassedEndpointClaimed,
  severalIommus,
  endpointBehindWrongViommu,
  treeAndViotDisagree,
  iortHidesViot,
  iommuDisabled,
  iommuOnWrongBus,
  bridgeAlias,
  viotDamaged,
  viotOutputRule,
  viotUnknownNode,
  viotTooLarge,
  iortOverlap,
  iortDamaged,
  legacyMmio,
  noAccessPlatform,
  firmwareDmaBlocked,
  treeTooLarge,
  treeDamaged,
  pciDomain,
  iommuNodeName,
  iommuCompatible,
];
