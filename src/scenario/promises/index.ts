import type { Promised } from '../promise.ts';
import { accessesMapped, msiThroughDoorbell, reservedUntouched } from './audit.ts';
import { startState, unbindLeavesNothing, unmapLeavesNothing, unmapTiming } from './machine.ts';
import { firmwareIdentical } from './firmware-identical.ts';
import { behindIsGrouped, bypassIsNot } from './grouped.ts';
import { domainType, groupComposition, reservedRegions } from './groups.ts';
import { guestCompleted } from './guest-completed.ts';
import { msiWorks } from './msi-works.ts';
import {
  logExpectations,
  noFailedRequest,
  noKernelTrouble,
  noUnexpectedFault,
} from './no-trouble.ts';
import { faultChangesNothing, faultReported } from './provoked-faults.ts';
import {
  attachSeen,
  bypassNotTranslated,
  mappedBeforeAccess,
  mapSeen,
  probeSeen,
} from './requests.ts';
import { disksRead, disksWrite, driversBound, nicsPass } from './traffic.ts';
import {
  hotplugWorks,
  identityPasses,
  overlapRefused,
  rebindWorks,
  reboots,
} from './variations.ts';
import { hostFollows } from './host-follows.ts';
import { userspaceLimits, userspaceMapped, userspaceRefused, userspaceWorks } from './userspace.ts';
import { transferWorks } from './transfer.ts';
import { viommusPresent } from './viommus-present.ts';

export { reboots };

/** Every promise, in the order a verdict prints them. */
export const PROMISES: readonly Promised[] = [
  guestCompleted,
  reboots,
  firmwareIdentical,
  startState,
  viommusPresent,
  driversBound,
  behindIsGrouped,
  bypassIsNot,
  groupComposition,
  domainType,
  reservedRegions,
  probeSeen,
  attachSeen,
  mapSeen,
  mappedBeforeAccess,
  accessesMapped,
  unmapLeavesNothing,
  unmapTiming,
  identityPasses,
  reservedUntouched,
  bypassNotTranslated,
  hostFollows,
  disksRead,
  disksWrite,
  nicsPass,
  transferWorks,
  msiWorks,
  msiThroughDoorbell,
  rebindWorks,
  unbindLeavesNothing,
  hotplugWorks,
  userspaceWorks,
  userspaceMapped,
  userspaceRefused,
  userspaceLimits,
  faultReported,
  faultChangesNothing,
  overlapRefused,
  noUnexpectedFault,
  noFailedRequest,
  noKernelTrouble,
  logExpectations,
];
