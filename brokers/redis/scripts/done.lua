#!lua flags=allow-oom
-- done: ends of calls without anything special, the most frequent of all. What complete.lua does for them, without the parts of
-- lib/, whose functions take the server longer to define than one call to be ended.
-- args: { {ticket, run, how, outcome, ttl ms, delay ms, behind, drop body, name of the run}, ... } as for complete.lua; only
--   calls that completed or failed, and none of a block
-- returns: positions, from 1, of those for which nothing was done: complete.lua knows why, and what to do
-- Runs also when the server is out of memory: ends of runs must get through.
local P, acks = KEYS[1], cmsgpack.unpack(ARGV[1])
local INLINE, MAX_OUTCOME_BYTES = 16384, 131072 -- as in lib/inboxes.lua
local ENDED = { C = true, F = true, K = true, Z = true, N = true }
local left, ended, counts, entries, inboxes, bytes = {}, {}, {}, {}, {}, {}

local function is_special(id, task, ...)
  -- others depend on it, it holds a place or a key, it has a schedule, ...: what lib/ends.lua looks at when a run ends
  for at = 1, select('#', ...) do
    if select(at, ...) then return true end
  end
  return string.sub(task, 1, 5) == 'flow:' or redis.call('EXISTS', P .. 'txn:' .. id) == 1
end

local function notify(names, id, how, outcome)
  for inbox in string.gmatch(names, '%S+') do
    local list, size = inboxes[inbox], (bytes[inbox] or 0) + #outcome
    if not list then list = {}; inboxes[inbox] = list end
    local whole, n = #outcome <= INLINE and size <= MAX_OUTCOME_BYTES, #list
    if whole then bytes[inbox] = size end
    list[n + 1] = id
    list[n + 2] = how
    list[n + 3] = whole and outcome or ''
  end
end

local function settle(ack)
  -- whether it was done
  local ticket, id, how, outcome, ttl, _, _, drop_body, name = unpack(ack)
  local key = P .. 'r:' .. id
  local found = redis.pcall('HMGET', key, 's', 'e', 't', 'w', 'd', 'l', 'u', 'k', 'i', 'x', 'S', 'H', 'C')
  local status, current, task, names = unpack(found, 1, 4)
  if not status or ENDED[status] or current ~= ticket or not task or is_special(id, task, unpack(found, 5, 13)) then
    return false
  end
  local route, entry = string.match(ticket, '^([^ @][^ ]*) (%d[%d-]*)$')
  if not route then return false end
  if name ~= '' then
    redis.call('HSET', key, 's', how, 'o', outcome, 'r', name)
  else
    redis.call('HSET', key, 's', how, 'o', outcome)
  end
  if drop_body == 1 then redis.call('HDEL', key, 'b') end
  redis.call('PEXPIRE', key, ttl)
  if names then notify(names, id, how, outcome) end
  local list, counted, n = entries[route], how .. ':' .. task, #ended
  if list then list[#list + 1] = entry else entries[route] = { entry } end
  ended[n + 1] = id
  ended[n + 2] = how
  counts[counted] = (counts[counted] or 0) + 1
  return true
end

for at, ack in ipairs(acks) do
  if not settle(ack) then left[#left + 1] = at end
end
if not ended[1] then return left end

for route, list in pairs(entries) do
  redis.pcall('XACK', P .. 'q:' .. route, 'w', unpack(list))
  redis.pcall('XDEL', P .. 'q:' .. route, unpack(list))
end
for inbox, list in pairs(inboxes) do
  redis.pcall('XADD', P .. 'in:' .. inbox, 'NOMKSTREAM', '*', 'o', cmsgpack.pack(list))
end
-- What lists and counts refuses nobody: if something of another type stands in its place, it begins anew.
local noted = redis.pcall('XADD', P .. 'journal', '*', 'e', cmsgpack.pack(ended))
if type(noted) == 'table' and string.find(noted.err, 'WRONGTYPE', 1, true) then
  redis.call('DEL', P .. 'journal')
  redis.call('XADD', P .. 'journal', '*', 'e', cmsgpack.pack(ended))
end
for name, n in pairs(counts) do
  if type(redis.pcall('HINCRBY', P .. 'counts', name, n)) ~= 'number' then redis.pcall('HSET', P .. 'counts', name, n) end
end
return left
