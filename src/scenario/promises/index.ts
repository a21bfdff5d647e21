import type { Promised } from '../promise.ts';
import { accessesMapped, msiThroughDoorbell, reservedUntouched } from './audit.ts';
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
import { viommusPresent } from './viommus-present.ts';

/** Every promise, in the order a verdict prints them. */
export const PROMISES: readonly Promised[] = [
  guestCompleted,
  firmwareIdentical,
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
  reservedUntouched,
  bypassNotTranslated,
  disksRead,
  disksWrite,
  nicsPass,
  msiWorks,
  msiThroughDoorbell,
  faultReported,
  faultChangesNothing,
  noUnexpectedFault,
  noFailedRequest,
  noKernelTrouble,
  logExpectations,
];
