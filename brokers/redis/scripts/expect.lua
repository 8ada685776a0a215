#!lua flags=allow-oom
-- expect: have the ends of runs sent to an inbox.
-- args: { inbox, inbox ttl ms, {run, ...} }
-- returns: { run, status, outcome, ... } of those that have ended; status '?' where there is no record; an empty outcome
--   where the others are a reply's worth already: the record has it
-- needs: blocks
local inbox, ttl, runs = unpack(args)
local key = P .. 'in:' .. inbox
if redis.call('EXISTS', key) == 0 then redis.call('XADD', key, '*', 'h', '') end
redis.call('PEXPIRE', key, ttl)
local MOST_BYTES = 1048576

local function send_ends_to(id, inboxes)
  local block = blocks.find(id)
  if not block then return redis.call('HSET', record(id), 'w', inboxes) end
  block.inboxes = inboxes -- it gets the ends of all calls of the block
  redis.call('HSET', block.hash, 'w', inboxes)
end

local found, size = {}, 0
for _, id in ipairs(runs) do
  local status, outcome, inboxes = unpack(blocks.look(id, 's', 'o', 'w'))
  if not status or SETTLED[status] then
    local n = #found
    found[n + 1] = id
    found[n + 2] = status or '?'
    outcome = outcome or ''
    size = size + #outcome
    found[n + 3] = (n == 0 or size <= MOST_BYTES) and outcome or ''
  elseif not inboxes or not string.find(' ' .. inboxes .. ' ', ' ' .. inbox .. ' ', 1, true) then
    send_ends_to(id, inboxes and inboxes .. ' ' .. inbox or inbox)
  end
end
return cmsgpack.pack(found)
