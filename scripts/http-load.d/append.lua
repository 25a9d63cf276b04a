-- What `wrk` sends: appends of 1 KiB, spread over SESSIONS sessions, each answered as DURABILITY says.
-- At the end one line: answers a second, three latencies in microseconds, answers, failures.

local sessions = tonumber(os.getenv("SESSIONS"))
local durability = os.getenv("DURABILITY")
local store = os.getenv("RUN")

local threads = 0

function setup(thread)
   -- Each thread begins at another session.
   thread:set("first", threads * 17)
   threads = threads + 1
end

function init()
   local headers = { ["content-type"] = "application/json" }
   local body = '{"payload":"' .. string.rep("x", 1024) .. '"}'
   prepared = {}
   for session = 0, sessions - 1 do
      local path = string.format("/v1/sessions/load%%2F%s-%d/records?create=true&durability=%s",
         store, session, durability)
      prepared[session] = wrk.format("POST", path, headers, body)
   end
   at = first
end

function request()
   at = at + 1
   return prepared[at % sessions]
end

function done(summary, latency)
   local errors = summary.errors
   local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
   io.write(string.format("figures %.0f %.0f %.0f %.0f %d %d\n",
      summary.requests * 1e6 / summary.duration,
      latency:percentile(50), latency:percentile(99), latency:percentile(99.9),
      summary.requests, failed))
end
