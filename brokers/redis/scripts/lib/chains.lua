-- chains: blocks whose calls wait for calls of other blocks. What waits is looked at again whenever one of those has ended,
-- and those whose upstreams have all completed become a range: one note per piece, not per call. To look once too often is
-- harmless; `chained` (name -> when to look again) is for notes that were lost, as with a worker of an older version.
-- needs: ends block_ends ranges results
local chains = setmetatable({}, { __index = function(chains, name) -- when the first of them is called: few scripts need any
  setmetatable(chains, nil)

  chains.AGAIN = 30000 -- ms

  function chains.status(source, place)
    -- of an upstream; nil where it is not known
    local block = source.is_block and blocks.read(source.source)
    local letter = block and place < block.count and blocks.letter(block, place)
    if letter and letter ~= '-' then return letter end
    return blocks.look(blocks.sources.upstream_at(source, place), 's')[1]
  end

  function chains.standing(source, from, till, is_new)
    -- whether one of these has not ended, and the first that did not complete. How one has ended is kept as long as somebody
    -- waits: of one that vanished all the same (it was deleted, or never published) nobody can say that it completed. Whoever
    -- takes its result runs, and fails since there is none, as with records; a new call finds that it was never there.
    local open, failed = false, nil
    local vanished = source.in_body and not is_new and 'C' or '?'
    for place = from, till do
      local status = chains.status(source, place)
      if status and not SETTLED[status] then
        open = true
      elseif (status or vanished) ~= 'C' and not source.goes_on then
        failed = failed or blocks.sources.upstream_at(source, place)
      end
    end
    return open, failed
  end

  function chains.of_call(sources, place, is_new)
    local open, failed = false, nil
    for _, source in ipairs(sources) do
      if source.first <= place and place <= source.last then
        local waits, broken
        if not source.shared then
          local at = source.place + place - source.first
          waits, broken = chains.standing(source, at, at, is_new)
        else
          source.seen = source.seen or { chains.standing(source, source.place, source.till, is_new) }
          waits, broken = unpack(source.seen, 1, 2)
        end
        open, failed = open or waits, failed or broken
      end
    end
    return open, failed
  end

  function chains.divide(block, wanted, is_new)
    -- those that wait: which can be queued, and which never run, since of which upstream
    local sources = blocks.sources.of(block) or error('what its calls wait for is damaged')
    for _, source in ipairs(sources) do source.seen = nil end
    local ready, broken = {}, {}
    local function look_at(place)
      if place >= block.count or not blocks.waits(block, place) then return end
      local open, failed = chains.of_call(sources, place, is_new)
      if failed then broken[#broken + 1] = { place, failed } elseif not open then ready[#ready + 1] = place end
    end
    if wanted then for _, place in ipairs(wanted) do look_at(place) end end
    for place = 0, wanted and -1 or block.count - 1 do look_at(place) end
    return ready, broken
  end

  function chains.settle_moved(block, place, failed, ttl)
    -- it was moved out while it waited
    local id = blocks.member(block.name, place)
    if look(P .. 'r:' .. id, 's')[1] ~= 'P' then return end
    if failed then apart(id, ttl, end_now, id, 'N', nil, failed, ttl) else apart(id, ttl, queue_due, id) end
  end

  function chains.queue(block, first, last)
    block.split = block.split + 1
    block.ranges = string.sub(block.ranges, 1, first) .. string.rep(string.char(block.split), last - first + 1)
      .. string.sub(block.ranges, last + 2)
    ranges.queue(block, block.split, block.route, first, last, last - first + 1)
  end

  function chains.queue_ready(block, ready)
    -- `ready`: places; those that are side by side are one range
    table.sort(ready)
    local first, last
    for _, place in ipairs(ready) do
      if blocks.letter(block, place) ~= 'Q' then
        chains.settle_moved(block, place, nil, DAY)
      elseif last and place == last + 1 then
        last = place
      else
        if first then chains.queue(block, first, last) end
        first, last = place, place
      end
    end
    if first then
      chains.queue(block, first, last)
      redis.call('HSET', block.hash, 'g', block.ranges, 'G', block.split)
    end
  end

  function chains.end_broken(block, broken, ttl)
    local places, outcomes = {}, {}
    for _, one in ipairs(broken) do
      local place, upstream = unpack(one)
      if blocks.letter(block, place) == 'Q' then
        places[#places + 1] = string.char(place)
        outcomes[#outcomes + 1] = because(nil, upstream)
      else
        chains.settle_moved(block, place, upstream, ttl)
      end
    end
    if not places[1] then return end
    pieces_of.conclude(block, nil, nil, table.concat(places), string.rep('N', #places), cmsgpack.pack(outcomes), ttl)
  end

  function chains.look_at(name, wanted, ttl, is_new)
    local block = blocks.read(name)
    if not block or not blocks.sources.some_wait(block) then
      drop('chained', name)
      return block and blocks.expire(block)
    end
    local ready, broken = chains.divide(block, wanted, is_new)
    local done = {}
    for _, place in ipairs(ready) do done[#done + 1] = place end
    for _, one in ipairs(broken) do done[#done + 1] = one[1] end
    if not done[1] then return end
    blocks.sources.stop_waiting(block, done)
    chains.queue_ready(block, ready)
    chains.end_broken(block, broken, ttl)
    blocks.expire(block)
  end

  function chains.end_damaged(name, ttl, trouble)
    local block = blocks.read(name)
    for place = 0, block and block.count - 1 or -1 do
      local id = blocks.member(name, place)
      if blocks.waits(block, place) and blocks.letter(block, place) == 'Q' then apart(id, ttl, error, trouble) end
    end
    drop('chained', name)
  end

  function chains.settle_woken()
    local woken = blocks.woken
    blocks.woken = {}
    for _, one in ipairs(woken) do
      local name, wanted, ttl, is_new = unpack(one, 1, 4)
      local well, trouble = pcall(chains.look_at, name, wanted, ttl, is_new)
      if not well then pcall(chains.end_damaged, name, ttl, trouble) end
    end
    return woken[1] ~= nil
  end

  -- -- a new block

  chains.MOST_NOTES = 64 -- of chains and others that one block may have before another one waits for it

  function chains.fits(sources)
    -- whether calls can be in a block behind these: they are in blocks, too
    for _, item in ipairs(sources) do
      local _, _, source, _, till = unpack(item, 1, 5)
      if blocks.is_name(source) then
        local block = blocks.read(source)
        if not block or till >= block.count or blocks.count_notes(block) >= chains.MOST_NOTES then return false end
      end
    end
    return true
  end

  function chains.note_at(id, waiting)
    -- of a run that has a record
    local status = look(P .. 'r:' .. id, 's')[1]
    if not status or SETTLED[status] then return end
    redis.call('HSET', P .. 'r:' .. id, 'd', '1')
    redis.call('RPUSH', P .. 'd:' .. id, waiting .. '!')
  end

  function chains.note(block, source)
    local upstream = source.is_block and blocks.read(source.source)
    if not upstream then
      local id = source.source
      blocks.need_single(block.name, id)
      return chains.note_at(id, block.name)
    end
    blocks.keep(upstream, block.name)
    for place = source.place, source.till do
      local id = blocks.letter(upstream, place) == '-' and blocks.member(upstream.name, place)
      if id then blocks.keep_single(id); chains.note_at(id, block.name) end
    end
    if string.find(string.sub(upstream.letters, source.place + 1, source.till + 1), 'Q', 1, true) then
      blocks.note(upstream, source.place, source.till, block.name, true, source.shared and -1 or source.first)
    end
  end

  function chains.begin(name)
    local block = blocks.read(name)
    for _, source in ipairs(blocks.sources.of(block) or {}) do chains.note(block, source) end
    put('chained', now + chains.AGAIN, name)
    blocks.woken[#blocks.woken + 1] = { name, nil, DAY, true }
  end

  function chains.extras(sources, place, deliveries)
    -- of one of its calls that is written alone
    local block = { sources = true, found_sources = {} }
    local waits, ids = {}, nil
    for at, item in ipairs(sources) do
      local source = blocks.sources.read_one(item, blocks.MOST)
      block.found_sources[at] = source
      if source and source.first <= place and place <= source.last then
        local from = source.place + (source.shared and 0 or place - source.first)
        for one = from, source.shared and source.till or from do
          waits[#waits + 1] = { blocks.sources.upstream_at(source, one), source.goes_on }
        end
      end
    end
    ids = blocks.sources.taken_at(block, place)
    return { y = deliveries or nil, r = waits, u = ids[1] and cmsgpack.pack(ids) or nil }
  end

  -- -- what a worker gets with the calls of a range

  chains.LARGE = 4096 -- bytes of outcomes of a piece that come along in any case
  chains.LARGE_OF_CALL = 1024

  function chains.brought(block, first, last)
    -- { sources, pieces of blocks, { run, status, outcome, ... } }: of the results that these calls take, those at hand
    local sources = blocks.sources.of(block) or error('its block is damaged')
    local taken, pieces, singles = {}, {}, {}
    for _, source in ipairs(sources) do
      if source.in_body and source.first <= last and first <= source.last then
        local from, till = source.place, source.till
        if not source.shared then
          from = source.place + math.max(first, source.first) - source.first
          till = source.place + math.min(last, source.last) - source.first
        end
        taken[#taken + 1] = { source.first, source.last, source.source, source.place, source.till, source.shared and 4 or 0 }
        local upstream = source.is_block and blocks.read(source.source)
        if upstream then
          pieces[#pieces + 1] = blocks.results_in(upstream, from, till, chains.LARGE + chains.LARGE_OF_CALL * (till - from + 1))
        elseif not source.is_block then
          local status, outcome = unpack(look(P .. 'r:' .. source.source, 's', 'o'))
          if SETTLED[status] and outcome and #outcome <= 65536 then
            for _, value in ipairs({ source.source, status, outcome }) do singles[#singles + 1] = value end
          end
        end
      end
    end
    return { taken, pieces, singles }
  end

  return chains[name]
end })
blocks.chains = chains
