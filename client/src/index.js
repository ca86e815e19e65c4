export { ApiError, RingcastClient, callApi } from "./session.js";
export { Ringcast } from "./tracks.js";
export { Stage } from "./stage.js";
export { LevelMeter } from "./meter.js";
