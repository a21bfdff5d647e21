// ACPI Machine Language: ACPI 6.5, 20.3 "AML Byte Stream Byte Values".

export const AML_ZERO_OP = 0x00;
export const AML_ONE_OP = 0x01;
export const AML_NAME_OP = 0x08;
export const AML_BYTE_PREFIX = 0x0a;
export const AML_WORD_PREFIX = 0x0b;
export const AML_DWORD_PREFIX = 0x0c;
export const AML_STRING_PREFIX = 0x0d;
export const AML_QWORD_PREFIX = 0x0e;
export const AML_SCOPE_OP = 0x10;
export const AML_BUFFER_OP = 0x11;
export const AML_PACKAGE_OP = 0x12;
export const AML_METHOD_OP = 0x14;
export const AML_DUAL_NAME_PREFIX = 0x2e;
export const AML_MULTI_NAME_PREFIX = 0x2f;
export const AML_EXT_OP_PREFIX = 0x5b;
export const AML_ARG3_OP = 0x6b;
export const AML_RETURN_OP = 0xa4;
export const AML_DEVICE_OP = 0x82;
export const AML_NULL_NAME = 0x00;

// Resource descriptors: ACPI 6.5, 6.4.

export const RESOURCE_END_TAG = 0x79;
export const RESOURCE_MEMORY32_FIXED = 0x86;
export const RESOURCE_DWORD_ADDRESS = 0x87;
export const RESOURCE_WORD_ADDRESS = 0x88;
export const RESOURCE_EXTENDED_INTERRUPT = 0x89;
export const RESOURCE_QWORD_ADDRESS = 0x8a;

export const RESOURCE_TYPE_MEMORY = 0;
export const RESOURCE_TYPE_IO = 1;
export const RESOURCE_TYPE_BUS = 2;

/** Address space flags: both ends are fixed, the device hands the range on. */
export const RESOURCE_MIN_FIXED = 0x04;
export const RESOURCE_MAX_FIXED = 0x08;
/** Memory flags: can be written; cacheable; prefetchable (also cacheable). */
export const RESOURCE_MEMORY_READ_WRITE = 0x01;
export const RESOURCE_MEMORY_CACHEABLE = 0x02;
export const RESOURCE_MEMORY_PREFETCHABLE = 0x06;
/** I/O flags: all of the range decodes. */
export const RESOURCE_IO_ENTIRE_RANGE = 0x03;

/** Extended interrupt flags. */
export const RESOURCE_INTERRUPT_CONSUMER = 0x01;
export const RESOURCE_INTERRUPT_EDGE = 0x02;
export const RESOURCE_INTERRUPT_ACTIVE_LOW = 0x04;
export const RESOURCE_INTERRUPT_SHARED = 0x08;
