#!lua flags=allow-oom
-- withdraw: forget calls that could not be published, as if they had never been sent; those that run are left alone.
-- args: { {run, idempotency key or false}, ... }
-- returns: { run, ... } those that were claimed before they could be withdrawn
-- needs: ends ranges
local claimed, from_blocks = {}, {}

-- Calls of a block are forgotten where they are.
local function withdraw_from_block(id)
  local block, place, letter = blocks.find(id)
  if not block then return false end
  local range_id = blocks.range(block, string.byte(block.ranges, place + 1))
  local ticket, handed = unpack(look(P .. 'r:' .. range_id, 'e', 'h'))
  if letter ~= 'P' and (letter ~= 'Q' or handed or not ticket) then
    claimed[#claimed + 1] = id
    return true
  end
  block.letters = blocks.with(block.letters, place, '-')
  if letter == 'P' then blocks.sources.stop_waiting(block, { place }) else blocks.count_more(split_ticket(ticket), -1) end
  from_blocks[block.name] = block
  return true
end

local function forget_what_is_empty(block)
  for at = 0, block.split do
    local range_id = blocks.range(block, at)
    blocks.close_range(range_id, block)
    drop('unpublished_ranges', range_id)
  end
  redis.call('HSET', block.hash, 'L', block.letters)
  blocks.expire(block)
  if not string.find(block.letters, '[^-]') then redis.call('DEL', block.hash) end
end

local function withdraw_call(id, name)
  local key = record(id)
  local status, ticket, upstreams, limit, admission = unpack(look(key, 's', 'e', 'u', 'l', 'C'))
  if status == 'Q' and ticket and not is_carried(ticket) or status == 'R' then
    claimed[#claimed + 1] = id
  elseif status then
    if status == 'Q' then take_off(ticket) end
    drop('unpublished', id)
    drop('delayed', id)
    drop('expiring', id)
    leave_limits(id, limit)
    if admission then leave_admitted(id, admission) end
    redis.call('DEL', key)
    if upstreams then needs_no_more(id, upstreams) end
    local idem = name and P .. 'i:' .. name
    if idem and redis.pcall('GET', idem) == id then redis.call('DEL', idem) end
  end
end

for _, pair in ipairs(args) do
  local id = pair[1]
  if not withdraw_from_block(id) then withdraw_call(unpack(pair, 1, 2)) end
end
for _, block in pairs(from_blocks) do forget_what_is_empty(block) end
close_script()
return cmsgpack.pack(claimed)
