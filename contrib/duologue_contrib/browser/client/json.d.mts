import type { WireFormat } from "./duologue.mjs";

export const json: WireFormat;
