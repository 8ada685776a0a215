-- backlog: what is left to do on some routes.
-- args: { {route, ...}, soon ms }
-- returns: { calls nobody has claimed, delayed runs due soon (of any queue), consumer, calls it holds, ... }
-- needs: blocks
local routes, soon = unpack(args)
local waiting, held = 0, {}
local seen = {}
for _, route in ipairs(routes) do
  local key = stream(route)
  local claimed = 0
  local summary = redis.pcall('XPENDING', key, GROUP) -- an error: nobody has read this route yet
  if not summary.err and summary[1] > 0 then
    local _, _, holders
    claimed, _, _, holders = unpack(summary)
    for _, row in ipairs(holders) do
      local consumer, count = unpack(row)
      held[consumer] = (held[consumer] or 0) + tonumber(count)
    end
  end
  local length = redis.pcall('XLEN', key)
  local entries = type(length) == 'number' and length or 0
  waiting = waiting + math.max(0, entries - claimed + blocks.more(route))
  local queue = queue_of(route)
  if CARRIED and not seen[queue] then
    seen[queue] = true
    waiting = waiting + number(redis.call('HGET', P .. 'carried', queue), 0)
  end
end
local reply = { waiting, asked(redis.pcall('ZCOUNT', P .. 'delayed', '-inf', now + soon), 'delayed', 0) }
for consumer, count in pairs(held) do
  reply[#reply + 1] = consumer
  reply[#reply + 1] = count
end
return cmsgpack.pack(reply)
