-- backlog: what is left to do on some routes.
-- args: { {route, ...}, soon ms }
-- returns: { calls nobody has claimed, delayed runs due soon (of any queue), consumer, calls it holds, ... }
local waiting, held = 0, {}
local seen = {}
for _, route in ipairs(args[1]) do
  local key = stream(route)
  local claimed = 0
  local summary = redis.pcall('XPENDING', key, GROUP) -- an error: nobody has read this route yet
  if not summary.err and summary[1] > 0 then
    claimed = summary[1]
    for _, row in ipairs(summary[4]) do held[row[1]] = (held[row[1]] or 0) + tonumber(row[2]) end
  end
  waiting = waiting + redis.call('XLEN', key) - claimed
  local queue = queue_of(route)
  if CARRIED and not seen[queue] then
    seen[queue] = true
    waiting = waiting + tonumber(redis.call('HGET', P .. 'carried', queue) or 0)
  end
end
local reply = { waiting, redis.call('ZCOUNT', P .. 'delayed', '-inf', now + args[2]) }
for consumer, count in pairs(held) do
  reply[#reply + 1] = consumer
  reply[#reply + 1] = count
end
return cmsgpack.pack(reply)
