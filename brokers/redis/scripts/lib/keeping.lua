-- keeping: what lives as long as a run: its idempotency key, and the results of the runs that its arguments refer to. A run
-- that others need has `k`: its time to live once it has ended (0 before), which begins when the last of them has ended.
-- needs: blocks
local function own_key(name, id)
  -- the key under which a run's idempotency key is kept, if it is (still) this run's
  local key = P .. 'i:' .. name
  return redis.pcall('GET', key) == id and key
end

local function expire(id, ttl, idempotency)
  redis.call('PEXPIRE', record(id), ttl)
  local key = idempotency and own_key(idempotency, id)
  if key then redis.call('PEXPIRE', key, ttl) end
end

function blocks.keep_single(id)
  -- until somebody lets it go: false where there is no record
  local key = record(id)
  local status, kept, name = unpack(look(key, 's', 'k', 'i'))
  if not status then return false end
  if not kept then
    local left = SETTLED[status] and redis.pcall('PTTL', key) or 0
    if type(left) ~= 'number' or left < 0 then left = DAY end -- a user with the rights of an older version
    redis.call('HSET', key, 'k', left)
    if SETTLED[status] then
      redis.call('PERSIST', key)
      put('kept', now + left, id)
      local mine = name and own_key(name, id)
      if mine then redis.call('PERSIST', mine) end
    end
  end
  return true
end

function blocks.need_single(id, upstream)
  if blocks.keep_single(upstream) then redis.call('SADD', P .. 'n:' .. upstream, id) end
end

blocks.LONG = 500 -- bytes of a list of upstreams, above which it may be there as blocks and places (`V`), too

function blocks.upstreams_in(packed)
  -- of a block from which none was moved out one stands for all that follow each other; { block, first, last } stands for
  -- all of these
  local found, name, whole = {}, nil, false
  local function add(upstream, its_name)
    if its_name ~= name or not whole then found[#found + 1] = upstream end
    if its_name ~= name then
      local block = blocks.of(upstream)
      name, whole = its_name, block and not string.find(block.letters, '-', 1, true)
    end
  end
  for _, item in ipairs(unpacked(packed)) do
    if type(item) ~= 'table' then
      add(item, string.sub(item, 1, 32))
    else
      local its_name, first, last = unpack(item, 1, 3)
      for place = first, last do
        if place == first or not whole then add(blocks.member(its_name, place), its_name) end
      end
    end
  end
  return found
end

local function need(id, packed)
  for _, upstream in ipairs(blocks.upstreams_in(packed)) do
    local block = blocks.find(upstream)
    if block then blocks.keep(block, id) else blocks.need_single(id, upstream) end
  end
end

local function let_go(upstream)
  local named = #upstream == 32 and blocks.read(upstream)
  if named then return blocks.let_go(named) end
  local block = blocks.of(upstream)
  if block and block.kept then return put('kept', now + 600000, upstream) end
  local key = record(upstream)
  local status, kept, name = unpack(look(key, 's', 'k', 'i'))
  drop('kept', upstream)
  if not status then return end
  redis.call('HDEL', key, 'k')
  if SETTLED[status] then expire(upstream, math.max(1, number(kept, DAY)), name) end
end

function blocks.let_go(block)
  drop('kept', block.name)
  redis.call('HDEL', block.hash, 'K')
  block.kept = false
  blocks.expire(block)
  if not string.find(block.letters, '-', 1, true) then return end
  for place = 0, block.count - 1 do -- those that were moved out were kept with it
    local id = blocks.member(block.name, place)
    local alone = blocks.letter(block, place) == '-' and look(P .. 'r:' .. id, 'k')[1]
    if alone and redis.call('EXISTS', P .. 'n:' .. id) == 0 then let_go(id) end
  end
end

function blocks.needed_no_more(block, id)
  if not block or not block.kept or block.freed_by == id then return end
  block.freed_by = id
  local users = P .. 'n:' .. block.name
  redis.pcall('SREM', users, id)
  if redis.call('EXISTS', users) == 0 then blocks.let_go(block) end
end

function blocks.source_needed_no_more(source, name)
  -- a block that takes results of others is over
  if source.is_block then return blocks.needed_no_more(blocks.read(source.source), name) end
  local users = P .. 'n:' .. source.source
  if redis.pcall('SREM', users, name) == 1 and redis.call('EXISTS', users) == 0 then let_go(source.source) end
end

local function needs_no_more(id, packed)
  if #packed > blocks.LONG then packed = look(P .. 'r:' .. id, 'V')[1] or packed end
  for _, upstream in ipairs(blocks.upstreams_in(packed)) do
    blocks.needed_no_more(blocks.of(upstream), id)
    -- One that was in its block when it was needed has no users of its own.
    local alone = not blocks.find(upstream)
    local users = P .. 'n:' .. upstream
    if alone and redis.pcall('SREM', users, id) == 1 and redis.call('EXISTS', users) == 0 then let_go(upstream) end
  end
end
